"""``deskgate logs``: lines chosen and shown; what is no line of ours hurts nobody."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tools.reading import Chosen, Wanted, choose, doubts, follow, show, took

CALLBACK = {
    "event": "callback.answered",
    "level": "info",
    "timestamp": "2026-11-27T12:31:36.123456Z",
    "process": "gateway",
    "app": 1400000001,
    "session": "s1",
    "user": "u1",
    "route": "profile",
    "code": 120001,
    "code_name": "TIMEOUT",
    "took_ms": 1590.2,
    "budget_ms": 1600,
    "lookups": {
        "profile": {
            "source": "stale",
            "age_ms": 3200,
            "took_ms": 1550.1,
            "code": 120001,
            "code_name": "TIMEOUT",
        },
        "order": {"source": "live", "age_ms": None, "took_ms": 4.0, "code": 0, "code_name": "OK"},
    },
    "trace_id": "abc",
}
FINISHED = {
    "event": "lookup.finished",
    "level": "info",
    "timestamp": "2026-11-27T12:31:36.5Z",
    "lookup": "profile",
    "outcome": "TIMEOUT",
    "code": 120001,
    "queue_ms": 300.0,
    "backend_ms": 800.0,
    "session": "s1",
    "trace_id": "abc",
}
LOST = {"event": "redis.lost", "level": "warning", "detail": "\x1b[31mred\nline"}
RAISED = {"event": "callback.failed", "level": "error", "exception": "Traceback\n  File x\nValueError: \x07"}
LINES = [json.dumps(line).encode() + b"\n" for line in (CALLBACK, FINISHED, LOST, RAISED)]


@pytest.mark.parametrize(
    ("wanted", "events"),
    [
        (Wanted(), "callback lookup redis callback"),
        (Wanted(session="s1"), "callback lookup"),
        (Wanted(session="s"), ""),
        (Wanted(user="u1"), "callback"),
        (Wanted(trace="abc"), "callback lookup"),
        (Wanted(code="120001"), "callback lookup"),
        (Wanted(code="TIMEOUT"), "callback lookup"),
        (Wanted(code="OK"), "callback"),
        (Wanted(lookup="order"), "callback"),
        (Wanted(lookup="profile", slow=1.2), "callback"),
        (Wanted(slow=1.1), "callback lookup"),
        (Wanted(event="redis.lost"), "redis"),
        (Wanted(level="warning"), "redis callback"),
        (Wanted(level="error", session="s1"), ""),
    ],
)
def test_lines_are_chosen_by_all_that_is_asked(wanted: Wanted, events: str) -> None:
    """A code is a number or a name, of the reply or of one of its lookups."""
    found = [str(one.fields["event"]).partition(".")[0] for one in choose(iter(LINES), wanted) if one.fields]
    assert found == events.split()


def test_words_in_front_are_no_matter_and_other_lines_are_shown_as_they_are() -> None:
    """As Docker Compose writes them. Whoever looks for something does not want to see others."""
    lines = [
        b"gateway-1  | " + LINES[0],
        b"redis-1 | * Ready\n",
        b'x {"no": "event"}\n',
        b'{"event": 7}\n',
        b"{\n",
    ]
    found = list(choose(iter(lines), Wanted()))
    assert [one.fields is None for one in found] == [False, True, True, True, True]
    assert show(found[1]).plain == "redis-1 | * Ready"
    assert [one.raw for one in choose(iter(lines), Wanted(session="s1"))] == [lines[0]]


def test_a_callback_is_shown_with_each_of_its_lookups() -> None:
    """Why the bot said that, at a glance."""
    (chosen,) = choose(iter(LINES[:1]), Wanted())
    first, *others = show(chosen).plain.splitlines()
    assert first.startswith("12:31:36.123 callback.answered  TIMEOUT in 1590.2 ms app=1400000001 session=s1")
    assert first.endswith(" abc")
    assert others == [
        "    profile stale 3.2 s old TIMEOUT 1550.1 ms",
        "    order live 4.0 ms",
    ]


def test_nothing_that_a_terminal_would_obey_is_shown() -> None:
    """The path of a request without a signature is logged, too."""
    shown = [show(one).plain for one in choose(iter(LINES), Wanted())]
    assert shown[2] == " redis.lost         detail=\\x1b[31mred\\nline"
    assert shown[3].splitlines()[1:] == ["    Traceback", "      File x", "    ValueError: \\x07"]


def test_time_of_a_lookup_is_its_wait_and_its_calls() -> None:
    """That is what its callback waited for."""
    assert took(FINISHED) == pytest.approx(1.1)
    assert took(CALLBACK) == pytest.approx(1.5902)
    assert took(LOST) == 0
    assert took({"took_ms": "long"}) == 0
    assert took({"took_ms": 10**400}) == 0
    aged = {"event": "callback.answered", "lookups": {"order": {"age_ms": 10**400}}}
    assert "order" in show(Chosen(b"", aged)).plain


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["lookups", "code", "took_ms", "timestamp", "level", "exception", "trace_id", "session"]
)
ANY = st.binary(max_size=60) | st.dictionaries(NAMES, JSON).map(
    lambda fields: json.dumps({"event": "callback.answered", **fields}).encode()
)


@given(
    st.lists(ANY, max_size=4), st.sampled_from([Wanted(), Wanted(code="0", level="info", lookup="a", slow=1)])
)
def test_any_line_can_be_read(lines: list[bytes], wanted: Wanted) -> None:
    """Logs are written by older releases, cut by full disks, and mixed with others'."""
    for chosen in choose(iter(lines), wanted):
        assert all(one.isprintable() or one == "\n" for one in show(chosen).plain)


def test_a_file_is_followed_through_rotations(tmp_path: Path) -> None:
    """Renamed, cut short, or gone for a moment: no line is lost, and a part of one is none yet."""
    path = tmp_path / "log"
    path.write_bytes(b"1\n2")

    def steps() -> Iterator[None]:
        with path.open("ab") as file:
            file.write(b"2\n")
        yield
        path.rename(tmp_path / "old")
        yield
        path.write_bytes(b"3\n")
        yield
        path.write_bytes(b"")
        yield
        path.write_bytes(b"4\n")
        yield

    doing = steps()
    lines = follow(path, lambda _: next(doing))
    assert [next(lines) for _ in range(4)] == [b"1\n", b"22\n", b"3\n", b"4\n"]


def test_chosen_lines_of_a_stream_come_one_by_one() -> None:
    """A pipe is read as it comes."""
    stream = io.BytesIO(b"".join(LINES))
    assert next(choose(iter(stream), Wanted())) == Chosen(LINES[0], CALLBACK)
    assert stream.tell() == len(LINES[0])


def test_a_search_for_a_name_that_is_misspelt_says_so() -> None:
    """An empty answer reads as "it has not happened"."""
    assert list(doubts(Wanted(event="callback.answerd", code="timeout"))) == [
        "no line has 'callback.answerd'; did you mean 'callback.answered'?",
        "no line has 'timeout'; did you mean 'TIMEOUT'?",
    ]
    for known in (Wanted(event="gateway.not_replaced"), Wanted(code="120001"), Wanted(session="s1")):
        assert list(doubts(known)) == []
