"""``deskgate logs``: the JSON lines of gateways and workers, chosen and shown for people.

A line may have words of others in front, as those of Docker Compose and Kubernetes. What is no line of ours
is shown as it is, unless something is looked for.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from inspect import isfunction
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
from rich.text import Text

from gateway.core.errors import Code
from gateway.declared.wording import suggestion
from gateway.telemetry import events
from gateway.telemetry.terminal import printable

LOOK_EVERY = 0.2
"""Seconds between two looks at the end of a file that is followed."""

_LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_STYLES = {"warning": "yellow", "error": "bold red"}
_FIRST = ("event", "level", "timestamp", "process", "trace_id", "exception")
_decoder = msgspec.json.Decoder()


class Wanted(NamedTuple):
    """The lines that are looked for: each field that is given must fit.

    ``code`` is a number or a name. ``slow`` are the seconds that something took at least. ``level`` is the
    lowest one.
    """

    session: str | None = None
    user: str | None = None
    trace: str | None = None
    code: str | None = None
    lookup: str | None = None
    event: str | None = None
    slow: float | None = None
    level: str | None = None

    @property
    def all(self) -> bool:
        """True if every line is wanted."""
        return self == Wanted()

    def may_fit(self, line: bytes) -> bool:
        """Return False for a line that cannot fit, without decoding it: logs have millions of them."""
        named = (self.session, self.user, self.trace, self.event)
        return all(one is None or not one.isascii() or one.encode() in line for one in named)

    def fits(self, line: Mapping[str, Any]) -> bool:
        """Return whether a line is wanted."""
        if any(
            wanted is not None and line.get(name) != wanted
            for name, wanted in (
                ("session", self.session),
                ("user", self.user),
                ("trace_id", self.trace),
                ("event", self.event),
            )
        ):
            return False
        if self.level is not None and _LEVELS.get(str(line.get("level")), 1) < _LEVELS[self.level]:
            return False
        if self.code is not None and self.code not in _codes(line):
            return False
        if self.lookup is not None and self.lookup not in _lookups(line):
            return False
        return self.slow is None or took(line) >= self.slow


def took(line: Mapping[str, Any]) -> float:
    """Return the seconds that what a line tells of took, 0 if it does not say."""
    numbers = (_number(line.get(name)) for name in ("queue_ms", "backend_ms", "took_ms"))
    return sum(one for one in numbers if one is not None) / 1000


def _number(value: object) -> float | None:
    """Return a number; None for all else, and for one that is too large."""
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def _codes(line: Mapping[str, Any]) -> set[str]:
    lookups = line.get("lookups")
    parts = [line, *(lookups.values() if isinstance(lookups, Mapping) else ())]
    return {
        str(part[name])
        for part in parts
        if isinstance(part, Mapping)
        for name in ("code", "code_name", "outcome")
        if name in part
    }


def _lookups(line: Mapping[str, Any]) -> set[str]:
    lookups = line.get("lookups")
    return {str(line.get("lookup")), *(map(str, lookups) if isinstance(lookups, Mapping) else ())}


def doubts(wanted: Wanted) -> Iterator[str]:
    """Yield what may be misspelt in a search that has found nothing, with the name that may be meant."""
    for word, names in ((wanted.event, _event_names()), (wanted.code, [code.name for code in Code])):
        if word is not None and word not in names and (meant := suggestion(word, names)):
            yield f"no line has {word!r}{meant}"


def _event_names() -> list[str]:
    functions = (name for name, one in vars(events).items() if isfunction(one) and not name.startswith("_"))
    return [name.replace("_", ".", 1) for name in functions]


class Chosen(NamedTuple):
    """A line that is wanted: its bytes, and its fields; None for one that is not ours."""

    raw: bytes
    fields: Mapping[str, Any] | None


def choose(lines: Iterator[bytes], wanted: Wanted) -> Iterator[Chosen]:
    """Yield those lines that are wanted."""
    for line in lines:
        if not wanted.may_fit(line):
            continue
        fields = _read(line)
        if fields is None:
            if wanted.all:
                yield Chosen(line, None)
        elif wanted.fits(fields):
            yield Chosen(line, fields)


def _read(line: bytes) -> Mapping[str, Any] | None:
    begin = line.find(b"{")
    if begin < 0:
        return None
    try:
        fields = _decoder.decode(line[begin:])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and isinstance(fields.get("event"), str) else None


def follow(path: Path, pause: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """Yield the lines of a file, and those that are added, until interrupted.

    A file that is renamed or cut short, as by a rotation, is opened anew. Raise OSError at once.
    """
    return _follow(path, path.open("rb"), pause)


def _follow(path: Path, file: IO[bytes], pause: Callable[[float], None]) -> Iterator[bytes]:
    part = b""
    try:
        while True:
            part += file.readline()
            if part.endswith(b"\n") or (part and not _goes_on(file, path)):
                yield part
                part = b""
            elif _goes_on(file, path):
                pause(LOOK_EVERY)
            else:
                file.close()
                file = _opened(path, pause)
    finally:
        file.close()


def _goes_on(file: IO[bytes], path: Path) -> bool:
    ours = os.fstat(file.fileno())
    try:
        there = path.stat()
    except OSError:
        return True  # it is being renamed: its successor will come
    return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev) and there.st_size >= file.tell()


def _opened(path: Path, pause: Callable[[float], None]) -> IO[bytes]:
    while True:
        try:
            return path.open("rb")
        except FileNotFoundError:
            pause(LOOK_EVERY)


def show(chosen: Chosen) -> Text:
    """Return a line for people: time, level, event, and what there is to say; of a callback each lookup."""
    fields = chosen.fields
    if fields is None:
        return Text(printable(chosen.raw.decode(errors="backslashreplace").rstrip("\r\n")), "dim")
    level, event = str(fields.get("level", "")), str(fields["event"])
    clock = str(fields.get("timestamp", ""))[11:23]
    text = Text.assemble(
        (printable(clock), "dim"), " ", (f"{printable(event):<18}", _STYLES.get(level, "bold"))
    )
    if event == "callback.answered":
        _add_callback(text, fields)
    else:
        _add_fields(text, fields, skipped=())
        _add_trace(text, fields)
    if exception := fields.get("exception"):
        for line in str(exception).splitlines():
            text.append(f"\n    {printable(line)}", "red")
    return text


def _add_callback(text: Text, fields: Mapping[str, Any]) -> None:
    good = fields.get("code") == 0
    text.append(f" {_plain(fields.get('code_name', fields.get('code', '')))}", "green" if good else "yellow")
    text.append(f" in {_plain(fields.get('took_ms', ''))} ms")
    lookups = fields.get("lookups")
    _add_fields(text, fields, skipped=("code", "code_name", "took_ms", "budget_ms", "lookups"))
    _add_trace(text, fields)
    if not isinstance(lookups, Mapping):
        return
    for name, one in lookups.items():
        if not isinstance(one, Mapping):
            continue
        text.append(f"\n    {_plain(name)} ")
        text.append(_plain(one.get("source", "")), "cyan")
        if (age := _number(one.get("age_ms"))) is not None:
            text.append(f" {age / 1000:.1f} s old")
        if one.get("code"):
            text.append(f" {_plain(one.get('code_name', one['code']))}", "yellow")
        text.append(f" {_plain(one.get('took_ms', ''))} ms", "dim")


def _add_trace(text: Text, fields: Mapping[str, Any]) -> None:
    if trace := fields.get("trace_id"):
        text.append(f" {_plain(trace)}", "dim")


def _add_fields(text: Text, fields: Mapping[str, Any], skipped: tuple[str, ...]) -> None:
    for name, value in fields.items():
        if name not in _FIRST and name not in skipped and value not in ("", None):
            text.append(f" {_plain(name)}=", "dim")
            text.append(_plain(value))


def _plain(value: object) -> str:
    return printable(value if isinstance(value, str) else msgspec.json.encode(value).decode())
