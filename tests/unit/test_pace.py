"""The pace of a lane: how long a job takes says whether those that wait can be done in time."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.core.errors import Code
from gateway.core.messages import Answer, Job
from gateway.lookups.ask import Asked
from gateway.queue.jobs import Envelope, Taken
from workers.jobs import Lane, run


@dataclass
class Counted:
    """A worker's side of a lane that notes what it is told of its jobs."""

    runs: list[float] = field(default_factory=list)

    def note_run(self, seconds: float) -> None:
        """Note it."""
        self.runs.append(seconds)


@pytest.mark.parametrize(("age", "runs"), [(0.0, 1), (3.0, 0)])
async def test_time_for_which_a_worker_stood_still_is_not_its_jobs_pace(age: float, runs: int) -> None:
    """Callbacks would be refused as too many for seconds, after each pause of the machine."""
    queue = Counted()

    async def ask(*_: object, **__: object) -> Asked:
        return Asked(Answer("id", Code.OK), attempts=1, age=age)

    async def finish(*_: object, **__: object) -> None:
        return None

    backend = SimpleNamespace(
        ask=ask, knows=lambda _: True, overrun=1.0, report_finished=lambda *_, **__: None
    )
    lane: Any = SimpleNamespace(queue=queue, backend=backend, finish=finish, longest_job=2.0, name="crm")
    envelope = Envelope(0.0, 0.0, Job("order", {}, 1, "s1", "record", "trace", version="v"))
    await run(cast("Lane", lane), envelope, Taken("id", 1, envelope, 0.0), wants=False)
    assert len(queue.runs) == runs
