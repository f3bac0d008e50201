"""The insides of arq that workers/push.py uses: read a change of them before you trust it."""

import inspect
from hashlib import blake2b

import pytest
from arq import Worker
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix

READ = {
    "main": "b4b3f74466175ec9",
    "run_job": "8a812973e52cf65f",
    "finish_job": "6d111b21599e1c4b",
    "finish_failed_job": "0c18409c46c0cdae",
    "heart_beat": "ac53ea85f4d98e39",
    "record_health": "803106077aeff84a",
}
"""The digests of the methods as they were when PushWorker was written against them (arq 0.28.0).

PushWorker replaces ``main``. It calls ``run_job``, which ends in one of the two that finish, for a job of
another program, and ``heart_beat``, which calls ``record_health``, for ``arq --check``.
"""


@pytest.mark.parametrize("name", READ)
def test_method_is_the_one_that_was_read(name: str) -> None:
    """A job that PushWorker has claimed must be counted and cleared by arq as the Lua scripts expect it."""
    source = inspect.getsource(getattr(Worker, name)).encode()
    assert blake2b(source, digest_size=8).hexdigest() == READ[name], (
        f"arq.Worker.{name} has changed: read it, see whether workers/push.py still fits, note its digest"
    )


def test_keys_are_those_that_the_scripts_name() -> None:
    """The Lua scripts spell arq's keys out."""
    prefixes = (job_key_prefix, retry_key_prefix, in_progress_key_prefix)
    assert prefixes == ("arq:job:", "arq:retry:", "arq:in-progress:")
