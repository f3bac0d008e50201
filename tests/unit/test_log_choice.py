"""``[logs]``: which lines there are, and what they call a user."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.logs import LogChoice
from gateway.declared.reading import ConfigFaults
from gateway.process.log_choice import choose_lines
from gateway.telemetry import events

APPS = '[apps.1]\ntoken = "{token}"\n'


@pytest.fixture(autouse=True)
def _choice_back() -> Iterator[None]:
    """Leave the log as it was."""
    yield
    choose_lines(LogChoice())


def choice(table: str, token: str = "secret") -> LogChoice:  # noqa: S107 - it protects nothing
    """Return what a table means."""
    return compile_catalog(*read(f"{APPS.format(token=token)}[logs]\n{table}", {})).logs


def answer(trace_id: str, code: Code = Code.OK, user: str = "u1") -> None:
    """Tell of an answered callback, and of its lookup."""
    events.callback_answered(
        app=1,
        session="s",
        user=user,
        route="r",
        code=code,
        took=0.1,
        budget=1.0,
        lookups={},
        trace_id=trace_id,
        new_connection=False,
    )
    events.lookup_finished(
        lookup="l",
        backend="b",
        code=code,
        reason="",
        attempts=1,
        queued=0.0,
        took=0.1,
        left=1.0,
        session="s",
        trace_id=trace_id,
    )


def test_level_is_the_lowest_that_is_written() -> None:
    """`debug` has each attempt; `warning` has no callback that was answered."""
    for level, expected in (("debug", 4), ("info", 3), ("warning", 1), ("error", 0)):
        choose_lines(choice(f'level = "{level}"'))
        with capture_logs() as lines:
            answer("t")
            events.attempt_ended(
                lookup="l", backend="b", attempt=1, outcome="OK", took=0.1, trace_id="t", span_id="s"
            )
            events.lane_slow(lane="b")
        assert len(lines) == expected


def test_user_is_named_as_wished() -> None:
    """Hashed: the same everywhere, another one with another token, and no way back without it."""
    names = {}
    for user in ("plain", "hashed", "none"):
        choose_lines(choice(f'user = "{user}"'))
        with capture_logs() as lines:
            answer("t")
        names[user] = lines[0]["user"]
    assert names == {"plain": "u1", "hashed": choice('user = "hashed"').named("u1"), "none": ""}
    assert len(names["hashed"]) == 16
    assert choice('user = "hashed"', "another").named("u1") != names["hashed"]
    assert choice('user = "hashed"').named("") == ""


def test_sample_has_both_lines_of_a_callback_or_neither() -> None:
    """And every failure. The share is about what was asked for."""
    choose_lines(choice("sample_ok = 0.25"))
    traces = [f"{number * 2**56:016x}" for number in range(256)]
    with capture_logs() as lines:
        for trace in traces:
            answer(trace)
    told = [line["trace_id"] for line in lines]
    assert told == [trace for trace in traces[:64] for _ in range(2)]
    with capture_logs() as lines:
        answer("f" * 16, Code.TIMEOUT)
    assert len(lines) == 2


def test_sample_of_nothing_and_of_all() -> None:
    """The ends of the scale."""
    for share, expected in ((0, 0), (1, 2)):
        choose_lines(choice(f"sample_ok = {share}.0"))
        with capture_logs() as lines:
            answer("0" * 16)
        assert len(lines) == expected


@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan", "inf"])
def test_share_is_from_none_to_all(share: str) -> None:
    """Else a slip of the pen is silence."""
    with pytest.raises(ConfigFaults, match=r"logs\.sample_ok"):
        choice(f"sample_ok = {share}")


@pytest.mark.parametrize(
    ("user", "app", "warned"),
    [
        ("hashed", 'signature = "off"', True),
        ("hashed", 'token = "secret"', False),
        ("none", 'signature = "off"', False),
    ],
)
def test_hashes_without_a_key_are_warned_of(user: str, app: str, *, warned: bool) -> None:
    """Whoever reads the log could work them out: telephone numbers are few."""
    catalog = compile_catalog(*read(f'[apps.1]\n{app}\n[logs]\nuser = "{user}"\n', {}))
    assert [warning.path for warning in catalog.warnings] == ["logs.user"] * warned
