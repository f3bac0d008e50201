"""The story of a session, as people read it."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Console
from rich.text import Text

from gateway.core.units import brief_duration
from gateway.declared.secrets import HIDDEN
from gateway.history.entries import AttemptPart, LookupEntry
from gateway.telemetry.terminal import printable
from gateway.tools.explaining.story import Part, Told, code_name
from gateway.tools.presentation import code_text

_WIDTH = 40
_QUEUED, _ASKED, _PAUSED = "░", "█", "·"
_LONGEST_REPLY = 200


def show(story: list[Told], console: Console) -> None:
    """Print callbacks, oldest first."""
    for number, told in enumerate(story):
        if number:
            console.print()
        for line in _lines(told):
            console.print(line, soft_wrap=True)


def _lines(told: Told) -> Iterator[Text]:
    one = told.callback
    at = datetime.fromtimestamp(one.at).astimezone()
    yield Text.assemble(
        (f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}", "bold"),
        f"  {printable(one.route)}  ",
        code_text(one.code),
        f"  {one.took_ms:.0f} of {one.budget_ms:.0f} ms" if one.budget_ms else "",
        (f"  trace {printable(one.trace_id)}", "dim"),
    )
    if one.info and not told.parts:
        yield Text(f"  {printable(one.info)}")
    if one.inputs:
        given = ", ".join(f"{name} = {value!r}" for name, value in one.inputs.items())
        yield Text(f"  asked with {printable(given)}", "dim")
    for part in told.parts:
        yield from _part(part, one.variables)


def _part(part: Part, values: dict[str, str] | None) -> Iterator[Text]:
    one = part.part
    age = "" if one.age_ms is None or one.source == "live" else f", {brief_duration(one.age_ms / 1000)} old"
    said = "" if not one.code else f"  {code_name(one.code)}"
    yield Text.assemble("  ", (printable(part.lookup), "bold"), f"  {one.source}{age}", (said, "yellow"))
    for name in one.sets:
        value = (
            HIDDEN if values is None else repr(values[name]) if name in values else "for other lookups alone"
        )
        yield Text(f"    {printable(name)} = {printable(value)}")
    for rung in part.rungs:
        yield Text(f"    · {printable(rung)}")
    if part.asked is not None:
        yield from _asked(part, part.asked)


def _asked(part: Part, asked: LookupEntry) -> Iterator[Text]:
    count = len(asked.attempts)
    attempts = f"{count} attempt{'s' * (count != 1)} at {asked.backend} in {asked.backend_ms:.0f} ms"
    if part.part.source in {"fresh", "revalidating"}:
        yield Text(printable(f"    was answered for trace {asked.trace_id}, by {attempts}"))
        return
    begun = f", begun for trace {asked.trace_id}" if part.joined else ""
    yield Text(printable(f"    asked: {attempts}, after {asked.queue_ms:.0f} ms in the lane{begun}"))
    if asked.attempts:
        yield Text(f"      {bar(asked)}", "cyan")
    for attempt in asked.attempts:
        yield Text(f"      {attempt.number}  {printable(_attempt(attempt))}")
        if attempt.body:
            more = "…" if attempt.cut or len(attempt.body) > _LONGEST_REPLY else ""
            yield Text(f"         {printable(attempt.body[:_LONGEST_REPLY])}{more}", "dim")
    if asked.code and asked.code != part.part.code:  # else a rung has said it
        yield Text(f"      it ended with {code_name(asked.code)}: {printable(asked.reason)}")
    if asked.unmapped:
        yield Text(f"      the expressions of {printable(', '.join(asked.unmapped))} failed on the reply")
    if not asked.found:
        yield Text("      there is no such thing: the variables of `not_found`")
    if part.late is not None:
        yield Text(f"      the answer came {part.late * 1000:.0f} ms after the reply, and was kept")


def _attempt(attempt: AttemptPart) -> str:
    status = "" if attempt.status is None else f"  status {attempt.status}, {attempt.size} bytes"
    reason = f": {attempt.reason}" if attempt.reason else ""
    at = f"at {attempt.backend}: " if attempt.backend else ""
    return f"{at}{attempt.outcome}, {attempt.took_ms:.0f} ms{status}{reason}"


def bar(asked: LookupEntry) -> str:
    """Return where the time went: in the lane, in attempts, in the pauses between them."""
    total = asked.queue_ms + asked.backend_ms
    if total <= 0:
        return ""
    spent = sum(attempt.took_ms for attempt in asked.attempts)
    pauses = max(0.0, asked.backend_ms - spent) / max(1, len(asked.attempts) - 1)
    pieces = [(_QUEUED, asked.queue_ms)]
    for number, attempt in enumerate(asked.attempts):
        if number:
            pieces.append((_PAUSED, pauses))
        pieces.append((_ASKED, attempt.took_ms))
    return "".join(mark * round(ms / total * _WIDTH) for mark, ms in pieces)[: _WIDTH + 10]
