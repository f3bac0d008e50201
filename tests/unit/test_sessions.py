"""The records in memory: bounded, never older than what was there, and robust against what Redis holds."""

import gc

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.core.records import Known, Record, user_name
from gateway.records import memory as module
from gateway.records.memory import RecordMemory, decode_record

encode = msgspec.msgpack.encode


def test_the_least_recently_used_record_goes_first() -> None:
    """The sessions that talk right now are the ones whose records are needed."""
    sessions = RecordMemory(2)
    sessions.put("a", Known({}, 1.0))
    sessions.put("b", Known({}, 2.0))
    assert sessions.get("a") is not None
    sessions.put("c", Known({}, 3.0))
    assert sessions.get("b") is None
    assert sessions.get("a") == Known({}, 1.0)
    assert len(sessions) == 2


def test_records_are_nothing_for_the_garbage_collector_to_look_at() -> None:
    """Fifty thousand of them would stop every callback for some 50 ms at each full collection."""
    sessions = RecordMemory(10)
    sessions.read("1:s1:order:a", encode(Record(1000.0, {"v": "1"}, "u1")), 2000.0, 10.0)
    sessions.put("1:s1:order:b", Known({"v": "2"}, 1.0))
    parts: list[object] = [*sessions._held.values(), *sessions._sessions.values()]
    parts += [held.variables for held in sessions._held.values()]
    parts += [session.records for session in sessions._sessions.values()]
    assert not any(map(gc.is_tracked, parts))


def test_a_younger_record_is_never_replaced_by_an_older_one() -> None:
    """Answers overtake one another on their way; the user must not see time run backwards."""
    sessions = RecordMemory(10)
    sessions.put("a", Known({"v": "new"}, 10.0))
    assert sessions.put("a", Known({"v": "old"}, 9.0)) == Known({"v": "new"}, 10.0)
    assert sessions.read("a", encode(Record(1000.0, {"v": "old"})), 2000.0, 10.0) == Known({"v": "new"}, 10.0)
    assert sessions.put("a", Known({"v": "newer"}, 10.0)) == Known({"v": "newer"}, 10.0)


def test_a_record_written_in_the_future_counts_as_absent() -> None:
    """After a failover the new master's clock may be behind the one that dated it: it may be any age."""
    sessions = RecordMemory(10)
    assert sessions.read("a", encode(Record(9000.0, {})), 4000.0, 50.0) is None
    assert len(sessions) == 0


def test_a_record_written_just_now_has_no_age() -> None:
    """A worker reckons with the server's clock, and may be a little ahead of it."""
    assert RecordMemory(10).read("a", encode(Record(4500.0, {})), 4000.0, 50.0) == Known({}, 50.0)


@pytest.mark.parametrize("user", ["u1", "u2", "~", "a b"])
def test_each_user_of_a_session_is_forgotten_with_it(user: str) -> None:
    """A visitor who logs in is another user of the same session."""
    sessions = RecordMemory(10)
    for number, one in enumerate(("", "u1", "u2", "u1", "~", "a b", "u2")):
        sessions.put(f"1:s1:order:{number}", Known({}, 1.0), user=one)
    sessions.put("1:s2:order:a", Known({}, 1.0), user="u3")
    sessions.put("2:s1:order:a", Known({}, 1.0), user=user)
    assert sessions.erase([user_name(1, user)]) == 7
    assert len(sessions) == 2


def test_no_record_in_redis_leaves_what_is_held() -> None:
    """Redis forgot, this process did not."""
    sessions = RecordMemory(10)
    assert sessions.read("a", b"", 0.0, 0.0) is None
    sessions.put("a", Known({"v": "1"}, 1.0))
    assert sessions.read("a", b"", 0.0, 2.0) == Known({"v": "1"}, 1.0)
    assert sessions.read("a", b"\xc1", 0.0, 2.0) == Known({"v": "1"}, 1.0)


def test_those_forgotten_long_ago_give_way_to_those_forgotten_since() -> None:
    """Whom a gateway was told to forget is noted in memory, which must not grow for as long as it runs."""
    sessions = RecordMemory(10)
    sessions.erase(["1:first"], 1000.0)
    for number in range(0, 20_000, 1000):
        sessions.erase([f"1:s{n}" for n in range(number, number + 1000)], 2000.0)
    assert not sessions.erased_since(["1:first"], 0)
    assert sessions.erased_since(["1:s19999"], 0)


def test_after_everybody_was_forgotten_no_answer_to_an_older_question_is_kept() -> None:
    """A gateway does so when it may have missed whom to forget; calls are under way then."""
    sessions = RecordMemory(10)
    sessions.put("1:s1:order:a", Known({"v": "1"}, 1.0))
    mark = sessions.erasures
    sessions.clear(5000.0)
    assert (len(sessions), sessions.bytes) == (0, 0)
    sessions.put("1:s1:order:a", Known({"v": "1"}, 2.0), asked_ms=4999.0)
    assert len(sessions) == 0
    assert sessions.erased_since(["1:s2"], mark)
    assert not sessions.erased_since(["1:s2"], sessions.erasures)
    sessions.put("1:s1:order:a", Known({"v": "2"}, 3.0), asked_ms=5001.0)
    assert len(sessions) == 1


UNREADABLE = {
    "cut off": b"\x92\xcb",
    "another shape": encode({"a": 1}),
    "another type": encode([1.0, {"v": 7}]),
    "no UTF-8": b"\x92\xcb" + bytes(8) + b"\x81\xa1v\xa1\xff",
    "not msgpack": b"\xc1",
    "no time": encode([float("nan"), {}]),
    "endless time": encode([float("inf"), {}]),
    "pickle": b"\x80\x04N.",
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_record_that_cannot_be_decoded_counts_as_absent(kind: str) -> None:
    """A key that another release wrote costs one question to the CRM, not the callback."""
    assert decode_record(UNREADABLE[kind]) is None


def test_a_record_nested_beyond_the_stack_counts_as_absent() -> None:
    """Trailing elements are skipped one inside the other, and the stack ends first."""
    assert decode_record(b"\x93\xcb" + bytes(8) + b"\x80" + b"\x91" * 100_000 + b"\x90") is None


def test_unreadable_records_are_logged_once_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million of them after a release must not be a million lines; a hundred kinds not a hundred."""
    monkeypatch.setattr(module, "_warned", set())
    with capture_logs() as lines:
        for _ in range(3):
            decode_record(b"\xc1")
            decode_record(encode([1.0, {"v": 7}]))
    assert [line["event"] for line in lines] == ["record.unreadable", "record.unreadable"]
    with capture_logs() as lines:
        for length in range(200):
            decode_record(
                b"\x92\xcb" + bytes(8) + b"\x81\xa1v\xd9" + bytes([length + 1]) + b"a" * length + b"\xff"
            )
    assert len(lines) <= 18


def test_the_log_shows_no_value_of_an_unreadable_record() -> None:
    """Everything in it belongs to a user."""
    with capture_logs() as lines:
        decode_record(encode([1.0, {"phone": 5550123, "name": ["Ada Abe"]}]))
    assert "5550123" not in repr(lines)
    assert "Ada" not in repr(lines)
