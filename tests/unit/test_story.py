"""The story of a session: which question an answer is of, and what each rung of the ladder had."""

from dataclasses import replace

import pytest
from rich.console import Console

from gateway.core.errors import Code
from gateway.declared.lookup import Lookup
from gateway.history.entries import AttemptPart, CallbackEntry, LookupEntry, LookupPart, decode, encode
from gateway.tools.explaining.show import bar, show
from gateway.tools.explaining.story import Part, tell

AT = 1_800_000_000.0
LOOKUP = Lookup("order", "crm", "v1", (), {}, stale_if_error=60.0)


def callback(part: LookupPart, at: float = AT, trace: str = "t1", took_ms: float = 100.0) -> CallbackEntry:
    """Return a callback with one lookup."""
    return CallbackEntry(at, trace, 1, "s", "u", "/", "r", part.code, took_ms, 1600.0, {"order": part})


def asked(
    at: float = AT, trace: str = "t1", code: int = 0, took_ms: float = 50.0, reason: str = ""
) -> LookupEntry:
    """Return a lookup that was asked for."""
    return LookupEntry(at, trace, 1, "s", "u", "order", "crm", code, (), 10.0, took_ms, reason)


def told(*entries: CallbackEntry | LookupEntry, lookup: Lookup = LOOKUP) -> Part:
    """Return the part of the last callback."""
    return tell(entries, {"order": lookup})[-1].parts[0]


def test_an_answer_is_that_of_its_own_question() -> None:
    """Two processes write at their own times."""
    own, other = asked(AT + 0.001), asked(AT, "t2")
    part = told(other, own, callback(LookupPart("live", 0, 60.0)))
    assert (part.asked, part.joined, part.rungs) == (own, False, ())


def test_an_answer_may_be_that_of_a_question_under_way() -> None:
    """The nearest one that was under way at the time; none that was long over."""
    long_ago, under_way = asked(AT - 10, "t0"), asked(AT - 0.01, "t2")
    part = told(long_ago, under_way, callback(LookupPart("live", 0, 60.0)))
    assert (part.asked, part.joined) == (under_way, True)
    assert told(long_ago, callback(LookupPart("live", 0, 60.0))).asked is None


def test_a_record_is_the_answer_of_an_earlier_question() -> None:
    """By its age; a question that failed has left no record."""
    first, failed = asked(AT - 42, "t0"), asked(AT - 41.9, "t0", Code.TIMEOUT)
    part = told(first, failed, callback(LookupPart("fresh", 0, age_ms=42_000)))
    assert (part.asked, part.joined) == (first, True)
    assert told(failed, callback(LookupPart("fresh", 0, age_ms=42_000))).asked is None


def test_an_answer_that_came_too_late_is_told() -> None:
    """The next callback will find it."""
    part = told(callback(LookupPart("none", Code.TIMEOUT, 90.0)), asked(AT + 0.7))
    assert part.late == pytest.approx(0.7)


OLD = "the session's record: 2 min old, over stale_if_error (60 s)"
RUNGS = [
    (LookupPart("stale", Code.TIMEOUT, known_ms=5000), ("the session's record: 5 s old, given",)),
    (
        LookupPart("none", Code.TIMEOUT, known_ms=120_000),
        (OLD, "fallback: none is declared"),
    ),
    (
        LookupPart("user", Code.TIMEOUT, known_ms=120_000, user_ms=7000),
        (OLD, "the user's record: 7 s old, given"),
    ),
    (
        LookupPart("fallback", Code.TIMEOUT, known_ms=5000, user_ms=120_000, fallback=True),
        (
            "the session's record: 5 s old, of no use: it has other variables",
            "the user's record: 2 min old, over stale_if_error (60 s)",
            "fallback: given",
        ),
    ),
    (LookupPart("none", Code.TIMEOUT), ("the session's record: none", "fallback: none is declared")),
]


@pytest.mark.parametrize(("part", "rungs"), RUNGS)
def test_each_rung_says_what_it_had(part: LookupPart, rungs: tuple[str, ...]) -> None:
    """Down to the one that was taken."""
    failed = asked(code=Code.TIMEOUT, reason="no answer within 800 ms")
    assert told(callback(part), failed).rungs == ("no answer: TIMEOUT, no answer within 800 ms", *rungs)


def test_a_lookup_that_shares_answers_has_a_rung_for_the_user() -> None:
    """Also if there was none."""
    part = told(callback(LookupPart("none", Code.TIMEOUT)), lookup=replace(LOOKUP, share="user"))
    assert part.rungs[2] == "the user's record: none"


def test_another_release_may_have_written() -> None:
    """What cannot be read is passed over; an unknown code is a number; a lookup may be gone."""
    assert [decode(one) for one in (b"", b"{}", b'{"kind":"new"}', b'{"kind":"callback"}', b"\xff")] == [
        None
    ] * 5
    entry = callback(LookupPart("none", 999_999, known_ms=5000.0))
    assert decode(encode(entry)) == entry
    part = tell([entry], {})[0].parts[0]
    assert part.rungs[0] == "no answer: 999999"


def test_a_bar_shows_where_the_time_went() -> None:
    """In the lane, in attempts, in the pauses between them."""
    attempts = (AttemptPart(1, "TIMEOUT", 20.0), AttemptPart(2, "OK", 10.0))
    entry = LookupEntry(AT, "t", 1, "s", "u", "order", "crm", 0, attempts, 10.0, 40.0)
    assert bar(entry) == "░" * 8 + "█" * 16 + "·" * 8 + "█" * 8
    assert bar(LookupEntry(AT, "t", 1, "s", "u", "order", "crm", 0, (), 0.0, 0.0)) == ""


def test_a_question_that_ended_in_another_way_says_how() -> None:
    """Behind an open breaker lies what opened it: CIRCUIT_OPEN alone sends nobody to the CRM."""
    failed = asked(AT - 0.5, "t0", Code.BACKEND_UNAVAILABLE, reason="no connection: Connection refused")
    said = printed(failed, callback(LookupPart("stale", Code.CIRCUIT_OPEN, 1.0, known_ms=5000.0)))
    assert "it ended with BACKEND_UNAVAILABLE: no connection: Connection refused" in said
    same = callback(LookupPart("stale", Code.BACKEND_UNAVAILABLE, 60.0, known_ms=5000.0))
    assert printed(failed, same).count("Connection refused") == 1


def printed(*entries: CallbackEntry | LookupEntry) -> str:
    """Return what people read of a session."""
    console = Console(width=120)
    with console.capture() as captured:
        show(tell(entries, {"order": LOOKUP}), console)
    return captured.get()


@pytest.mark.parametrize(
    ("attempts", "number"),
    [
        ((AttemptPart(1, "OK", 1.0, body="{}"), AttemptPart(2, "CANCELLED", 2.0)), 1),
        ((AttemptPart(1, "BACKEND_UNAVAILABLE", 1.0, body="x"), AttemptPart(2, "TIMEOUT", 2.0)), None),
        ((AttemptPart(1, "OK", 1.0, body="{}", backend="crm"), AttemptPart(1, "OK", 2.0)), None),
        ((AttemptPart(1, "OK", 1.0, body="{", cut=True),), None),
        ((), None),
    ],
)
def test_the_reply_is_that_of_the_attempt_that_decided(
    attempts: tuple[AttemptPart, ...], number: int | None
) -> None:
    """Not of one that lost a race, nor of one before it, nor of another backend that a lookup has asked."""
    entry = LookupEntry(AT, "t", 1, "s", "u", "order", "mine", 0, attempts, 0.0, 1.0)
    assert (None if entry.reply is None else entry.reply.number) == number
