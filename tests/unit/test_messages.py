"""Messages are encoded without loss, and show no value of a user when they are printed."""

import msgspec
import pytest

from gateway.core.errors import Code
from gateway.core.messages import Answer, Ask, Callback, Job, Reply
from gateway.queue.jobs import Envelope

JOB = Job(
    "order", {"orderId": "secret-77", "phone": "5550123"}, 1400000001, "s1", "1400000001:s1:order:ab", "t1"
)


def test_a_printed_job_shows_no_value_of_an_input() -> None:
    """The arguments of a job are logged by arq, and by whoever looks for a fault."""
    for printed in (repr(JOB), str(JOB), f"{JOB}", repr([JOB]), repr(Envelope(1.0, 2.0, JOB))):
        assert "secret-77" not in printed
        assert "5550123" not in printed
        assert "order" in printed
        assert "t1" in printed


def test_a_job_and_an_answer_survive_the_way() -> None:
    """A gateway and a worker of one release understand one another."""
    answer = Answer("t1:order", Code.OK, "", {"order_status": "shipped", "é": "\0 \U0001f600"})
    for message in (JOB, answer, Answer("t1:order", Code.TIMEOUT, "no answer within 800 ms")):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message)) == message


ANSWER = Answer("t1:order", Code.OK, "", {"v": "1"}, 3.0)


def test_a_message_with_a_field_more_is_still_understood() -> None:
    """During a rolling upgrade old readers meet new writers."""
    longer = msgspec.msgpack.encode([*msgspec.structs.astuple(JOB), "a field of the next release"])
    assert msgspec.msgpack.decode(longer, type=Job) == JOB
    longer = msgspec.msgpack.encode([*msgspec.structs.astuple(ANSWER), {"new": 1}])
    assert msgspec.msgpack.decode(longer, type=Answer) == ANSWER


NO_ANSWERS = [["t1", 7, "", {}], ["t1", "0"], ["t1"], [], {"job_id": "t1"}, ["t1", 0, "", {"v": 7}]]


@pytest.mark.parametrize("data", NO_ANSWERS, ids=repr)
def test_what_is_no_answer_is_not_taken_for_one(data: object) -> None:
    """Anybody can publish on the channel; only a whole answer resolves a job."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(data), type=Answer)


def test_messages_cannot_be_changed_on_their_way() -> None:
    """One callback is read by several tasks at once."""
    messages = (
        (JOB, "session"),
        (Answer("t1", Code.OK), "code"),
        (Callback(1, "s", "", "/", {}), "session"),
        (Reply(Code.OK), "code"),
        (Ask("order", {}, 1, "s", "t1", 1.0), "left"),
    )
    for message, name in messages:
        with pytest.raises(AttributeError):
            setattr(message, name, "other")
