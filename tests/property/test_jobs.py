"""Jobs on the wire: nothing is lost, nothing else is taken for one."""

import math

import arq.jobs
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import Code
from gateway.core.messages import Answer, Job
from gateway.queue.jobs import RUN_LOOKUP, Envelope, deserialize_job, serialize_job

texts = st.text(max_size=8)
secrets = st.text(st.sampled_from("§¶µ漢字🂡"), min_size=1, max_size=6)
variables = st.dictionaries(texts, texts, max_size=4)
jobs = st.builds(Job, texts, variables, st.integers(1, 2**63), texts, texts, texts)
times = st.floats(0, 1e14)


@settings(deadline=None)
@given(jobs, st.integers(0, 10**14))
def test_a_stock_clients_job_arrives_whole(job: Job, now_ms: int) -> None:
    """A callback may hold anything."""
    data = arq.jobs.serialize_job(RUN_LOOKUP, (job,), {}, None, now_ms, serializer=serialize_job)
    name, arguments, keywords, job_try, enqueued_ms = arq.jobs.deserialize_job_raw(
        data, deserializer=deserialize_job
    )
    assert (name, keywords, enqueued_ms) == (RUN_LOOKUP, {}, now_ms)
    assert not job_try
    assert arguments == (Envelope(0.0, float(now_ms), job),)


@settings(deadline=None)
@given(jobs, times, times)
def test_a_gateways_job_arrives_whole(job: Job, deadline_ms: float, enqueued_ms: float) -> None:
    """The deadline travels with the job, to the fraction of a millisecond."""
    envelope = Envelope(deadline_ms, enqueued_ms, job)
    fields = deserialize_job(msgspec.msgpack.encode(envelope))
    assert fields["a"] == (envelope,)
    assert (fields["f"], fields["k"], fields["et"]) == (RUN_LOOKUP, {}, int(enqueued_ms))


@settings(deadline=None)
@given(st.builds(Answer, texts, st.sampled_from(Code), texts, variables))
def test_an_answer_arrives_whole(answer: Answer) -> None:
    """Every code has its number on the wire."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=Answer) == answer


@settings(deadline=None)
@given(st.dictionaries(texts, secrets, min_size=1, max_size=4), secrets)
def test_a_printed_job_shows_no_value(inputs: dict[str, str], session: str) -> None:
    """It is logged by arq; the platform promises its users that nobody reads along."""
    job = Job("order", inputs, 1, session, "record", "t1")
    for printed in (repr(job), str(job), repr(Envelope(0.0, 0.0, job)), repr((job,))):
        assert printed.isascii()


def damaged(data: bytes, at: int, byte: int) -> bytes:
    """Return ``data`` with one byte replaced."""
    at %= len(data)
    return data[:at] + bytes([byte]) + data[at + 1 :]


envelopes = st.builds(Envelope, times, times, jobs, texts).map(msgspec.msgpack.encode)
JOB = b"\x96\xa1a\x80\x00\xa1a\xa1a\xa1a"
INFINITE = b"\xcb\x7f\xf0" + bytes(6)


@settings(deadline=None)
@given(
    st.binary()
    | st.binary().map(lambda tail: b"\x94" + tail)
    | st.binary().map(lambda tail: b"\x86" + tail)
    | st.builds(damaged, envelopes, st.integers(0), st.integers(0, 255))
)
@example(b"\x91" * 100_000)
@example(b"\x94" * 100_000)
@example(b"\x94\0" + INFINITE + JOB + b"\xa0")
def test_any_bytes_are_a_job_or_arqs_deserialization_error(data: bytes) -> None:
    """It is handled by arq, and only that one: it fails the job and goes on with the next."""
    try:
        name, arguments, keywords, _, _ = arq.jobs.deserialize_job_raw(data, deserializer=deserialize_job)
    except arq.jobs.DeserializationError:
        return
    if data[:1] == b"\x94":
        assert (name, keywords) == (RUN_LOOKUP, {})
        assert [type(argument) for argument in arguments] == [Envelope]
    else:
        assert not any(isinstance(argument, Envelope) for argument in arguments)


@pytest.mark.parametrize("time", [math.inf, -math.inf, math.nan])
def test_a_job_that_was_enqueued_at_no_time_is_none(time: float) -> None:
    """Python has no whole number for it, and would say so with an error of another kind."""
    with pytest.raises(msgspec.ValidationError):
        deserialize_job(
            msgspec.msgpack.encode(Envelope(0.0, time, Job("order", {}, 1, "s1", "record", "t1")))
        )
