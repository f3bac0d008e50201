"""A trial as people read it, and as JSON."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from gateway.lookups.judged import Judged
from gateway.telemetry.terminal import printable
from gateway.tools.presentation import code_text, meaning, table
from gateway.tools.trial.steps import Reply, Trial

MOST_LINES = 60
"""Lines of a reply that are shown; ``--json`` shows all."""

_LONGEST = 2000
_TOLD_HEADERS = ("content-type", "retry-after", "location", "www-authenticate", "server")


def show(trial: Trial, console: Console) -> None:
    """Print a trial, step by step."""
    for line in _lines(trial):
        console.print(line, soft_wrap=True)
    if trial.judged is not None and trial.judged.expressions:
        console.print()
        console.print(_expressions(trial.judged))
    if trial.code or trial.judged is not None:
        console.print()
        console.print(Text.assemble(code_text(trial.code), f"  {printable(_verdict(trial))}"))
    for note in trial.notes:
        console.print(Text(f"note: {printable(note)}", "yellow"))


def _verdict(trial: Trial) -> str:
    judged = trial.judged
    if trial.reason or judged is None:
        return trial.reason or meaning(trial.code)
    if not judged.found:
        return "there is no such thing: the variables of `not_found` go out"
    empty = sum(one.value is None for one in judged.expressions.values())
    if empty:
        return f"{empty} of {len(judged.expressions)} variables go out empty"
    return "every variable has a value"


def as_dict(trial: Trial) -> dict[str, Any]:
    """Return a trial as JSON has it."""
    judged, reply, question = trial.judged, trial.reply, trial.question
    return {
        "lookup": trial.lookup,
        "inputs": dict(trial.inputs),
        "question": None if question is None else question._asdict(),
        "reply": None if reply is None else reply._asdict(),
        "took_ms": round(trial.took * 1000, 1),
        "rule": None if judged is None else judged.rule,
        "expressions": {} if judged is None else {n: one._asdict() for n, one in judged.expressions.items()},
        "found": judged is not None and judged.variables is not None and judged.found,
        "variables": None if judged is None else judged.variables,
        "code": int(trial.code),
        "code_name": trial.code.name,
        "reason": trial.reason,
        "notes": list(trial.notes),
    }


def _lines(trial: Trial) -> Iterator[Text]:
    if trial.inputs and trial.question is None:
        yield from _pairs(trial.inputs)
    if (question := trial.question) is not None:
        for number, line in enumerate(question.line.splitlines()):
            yield Text(printable(line), "bold" if number == 0 else "")
        yield from _pairs(question.headers, mark=":")
        yield from _pairs(question.parameters)
        if question.body:
            yield Text()
            yield from _body(question.body)
    if (reply := trial.reply) is not None:
        if trial.question is not None:
            yield Text()
        yield Text(_head(trial, reply), "bold")
        yield from _pairs({n: v for n, v in reply.headers.items() if n.lower() in _TOLD_HEADERS}, mark=":")
        yield Text()
        yield from _body(reply.body)
    if trial.judged is not None:
        yield Text()
        yield Text(f"rule  {trial.judged.rule}")


def _head(trial: Trial, reply: Reply) -> str:
    status = "" if reply.status is None else f"{reply.status}, "
    took = f", {trial.took * 1000:.0f} ms" if trial.question is not None else ""
    return f"{status}{reply.size} bytes{took}"


def _pairs(pairs: Mapping[str, str], mark: str = " =") -> Iterator[Text]:
    for name, value in pairs.items():
        yield Text(f"  {printable(name)}{mark} {printable(value)}", "dim")


def _body(text: str) -> Iterator[Text]:
    with suppress(msgspec.DecodeError):
        text = msgspec.json.format(text.encode(errors="replace"), indent=2).decode()
    lines = text.splitlines()
    for line in lines[:MOST_LINES]:
        yield Text(f"  {printable(line[:_LONGEST])}")
    if len(lines) > MOST_LINES:
        yield Text(f"  … {len(lines) - MOST_LINES} lines more; --json shows all", "dim")


def _expressions(judged: Judged) -> Any:  # noqa: ANN401 - a table of rich
    rows = table("variable", "expression", "gives")
    for name, one in judged.expressions.items():
        if one.value is not None:
            gives = Text(printable(repr(one.value)))
        else:
            gives = Text.assemble(("null", "yellow"), f"  {printable(one.why)}" if one.why else "")
        rows.add_row(Text(printable(name)), Text(printable(one.expression)), gives)
    return rows
