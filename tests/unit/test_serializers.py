"""Stock arq clients and workers read and write this project's jobs, and nobody unpickles anything."""

import pickle

import arq.jobs
import msgspec
import pytest

from gateway.core.messages import Job
from gateway.queue.jobs import RUN_LOOKUP, Envelope, deserialize_job, serialize_job

JOB = Job("order", {"orderId": "1"}, 1400000001, "s1", "1400000001:s1:order:ab", "t1")


def enqueued(function: str, *arguments: object) -> bytes:
    """Return a job as a stock arq client writes it."""
    return arq.jobs.serialize_job(function, arguments, {}, None, 1_731_488_371_784, serializer=serialize_job)


def test_a_stock_clients_job_reaches_the_worker_as_an_envelope_without_a_deadline() -> None:
    """``pool.enqueue_job("run_lookup", job)`` is how arq users know it."""
    function, arguments, keywords, job_try, enqueue_time_ms = arq.jobs.deserialize_job_raw(
        enqueued(RUN_LOOKUP, JOB), deserializer=deserialize_job
    )
    assert function == RUN_LOOKUP
    assert arguments == (Envelope(0.0, 1_731_488_371_784.0, JOB),)
    assert (keywords, enqueue_time_ms) == ({}, 1_731_488_371_784)
    assert not job_try


def test_arqs_own_description_of_a_queued_job_can_be_read() -> None:
    """``pool.queued_jobs()`` and dashboards use it."""
    description = arq.jobs.deserialize_job(enqueued(RUN_LOOKUP, JOB), deserializer=deserialize_job)
    assert description.function == RUN_LOOKUP
    assert description.enqueue_time.timestamp() == pytest.approx(1_731_488_371.784)
    assert "'1'" not in repr(description)


def test_a_gateways_job_reaches_the_worker_with_its_deadline() -> None:
    """This is what begin.lua assembles: three elements, the job as it was encoded."""
    envelope = Envelope(1_731_488_373_384.25, 1_731_488_371_784.75, JOB)
    _, arguments, _, _, enqueue_time_ms = arq.jobs.deserialize_job_raw(
        msgspec.msgpack.encode(envelope), deserializer=deserialize_job
    )
    assert arguments == (envelope,)
    assert enqueue_time_ms == 1_731_488_371_784


def test_a_foreign_function_is_kept_as_it_was_called() -> None:
    """A lane is an arq queue: a job that this project does not know fails by its own name."""
    function, arguments, keywords, *_ = arq.jobs.deserialize_job_raw(
        enqueued("other", 1, "a", [None]), deserializer=deserialize_job
    )
    assert (function, list(arguments), keywords) == ("other", [1, "a", [None]], {})


@pytest.mark.parametrize("result", [None, {"a": 1}, ValueError("x"), object()])
def test_whatever_a_job_returned_can_be_kept_as_its_result(result: object) -> None:
    """Results are kept on request; one that cannot be encoded is kept as its ``repr``."""
    data = arq.jobs.serialize_result(
        RUN_LOOKUP,
        (Envelope(0.0, 1.0, JOB),),
        *({}, 1, 1, True, result, 2, 3, "t1", "lane", "t1"),
        serializer=serialize_job,
    )
    assert data is not None
    kept = arq.jobs.deserialize_result(data, deserializer=deserialize_job)
    assert (kept.function, kept.success, kept.job_id) == (RUN_LOOKUP, True, "t1")


class Bomb:
    """An attacker with write access to Redis would leave such a job."""

    def __reduce__(self) -> tuple[type[BaseException], tuple[str]]:
        """Raise when it is unpickled."""
        return (SystemExit, ("unpickled",))


@pytest.mark.parametrize(
    "data", [pickle.dumps(Bomb()), pickle.dumps({"f": RUN_LOOKUP}), b"", b"\x93", b"\x93\0\0\0"]
)
def test_what_is_no_job_is_arqs_deserialization_error(data: bytes) -> None:
    """The job fails and the worker goes on; a pickle is just bytes that are no job."""
    with pytest.raises(arq.jobs.DeserializationError):
        arq.jobs.deserialize_job_raw(data, deserializer=deserialize_job)


def test_a_job_of_another_shape_is_not_taken_for_one_of_ours() -> None:
    """A client that passes text where a job belongs hears it from the worker, not from the CRM."""
    with pytest.raises(arq.jobs.DeserializationError):
        arq.jobs.deserialize_job_raw(enqueued(RUN_LOOKUP, "order"), deserializer=deserialize_job)


def test_nothing_of_a_stock_clients_call_is_dropped_silently() -> None:
    """``enqueue_job("run_lookup", job, deadline=...)`` looks as if it did something."""
    data = arq.jobs.serialize_job(RUN_LOOKUP, (JOB,), {"deadline": 1}, 2, 3, serializer=serialize_job)
    _, _, keywords, job_try, _ = arq.jobs.deserialize_job_raw(data, deserializer=deserialize_job)
    assert (keywords, job_try) == ({"deadline": 1}, 2)


@pytest.mark.parametrize("milliseconds", ["nan", "inf", "-inf"])
def test_a_time_that_is_none_is_a_msgspec_error(milliseconds: str) -> None:
    """The docstring promises MsgspecError for anything that is no job."""
    with pytest.raises(msgspec.MsgspecError):
        deserialize_job(msgspec.msgpack.encode(Envelope(0.0, float(milliseconds), JOB)))
