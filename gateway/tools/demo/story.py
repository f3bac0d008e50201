"""The story of ``deskgate demo``: each step has a script for the CRM, and the reply that Desk must get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from gateway.core.errors import Code
from gateway.core.units import brief_duration
from gateway.declared.catalog import Catalog
from gateway.front.ladder import Source
from gateway.telemetry.terminal import printable
from gateway.tools.call import PATIENCE, ReceivedReply
from gateway.tools.presentation import code_text, table, time_text

HEALTHY = '[[rules]]\nlatency = { fixed = "120ms" }\n'
FAILING = "[[rules]]\nshares = { error = 1 }\nstatus = 503\n"
HANGING = "[[rules]]\nshares = { hang = 1 }\n"

_STYLES = {
    "live": "green",
    "fresh": "green",
    "revalidating": "green",
    "stale": "yellow",
    "user": "yellow",
    "fallback": "magenta",
    "none": "red",
}
_INDENT = 3
_LONG = 100.0


@dataclass(frozen=True, slots=True)
class StoryStep:
    """One callback of the story, with texts for the reader: its ``case``, and ``why`` the reply is as it is.

    The CRM plays ``script``, and Desk asks about ``order``. With ``aged`` the order's record must first cease
    to be fresh. The reply must have this ``code``, and its order this ``source``.
    """

    name: str
    case: str
    why: str
    script: str
    code: Code
    source: Source
    order: str = "1001"
    aged: bool = False


STEPS = (
    StoryStep(
        "live",
        "The CRM is healthy; nothing is known about this session yet.",
        "A worker asked the CRM for the customer and for order 1001, side by side.",
        HEALTHY,
        Code.OK,
        Source.LIVE,
    ),
    StoryStep(
        "fresh",
        "The same callback again, at once.",
        "Both answers are fresh (order: {order:g} s, customer: {customer:g} s), so nobody asked the CRM.",
        HEALTHY,
        Code.OK,
        Source.FRESH,
    ),
    StoryStep(
        "stale",
        "{order:g} s later, order 1001 once more; but now the CRM answers 503 to every call.",
        "The order is fresh no longer, and every attempt failed: its last known answer goes out.",
        FAILING,
        Code.BACKEND_UNAVAILABLE,
        Source.STALE,
        aged=True,
    ),
    StoryStep(
        "fallback",
        "The CRM still fails, and order 1002 was never asked for.",
        "No record of another order stands in for it: the declared fallback goes out.",
        FAILING,
        Code.BACKEND_UNAVAILABLE,
        Source.FALLBACK,
        order="1002",
    ),
    StoryStep(
        "timeout",
        "Order 1001 again, and the CRM takes every call without ever answering.",
        "The budget of {budget:g} s ends before Desk's 2 s do: the last known order goes out in time.",
        HANGING,
        Code.TIMEOUT,
        Source.STALE,
    ),
    StoryStep(
        "recovery",
        "The CRM is well again, and Desk asks about order 1001.",
        "The order was asked for anew, and the answer is live.",
        HEALTHY,
        Code.OK,
        Source.LIVE,
    ),
)


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step: the reply, and the gateway's log line of the callback."""

    step: StoryStep
    reply: ReceivedReply
    log_line: Mapping[str, Any]

    @property
    def source(self) -> str:
        """The source of the order."""
        return str(self.log_line["lookups"]["order"]["source"])

    @property
    def as_expected(self) -> bool:
        """True if code and source are those of the story."""
        return self.reply.code == self.step.code and self.source == self.step.source

    @property
    def time(self) -> Text:
        """The time that the callback took, beside its budget."""
        return time_text(self.log_line["took_ms"] / 1000, self.log_line["budget_ms"] / 1000)


def show_case(console: Console, number: int, step: StoryStep, catalog: Catalog) -> None:
    """Show a step's case, before its callback is sent."""
    console.print(
        Text.assemble((f"{number}  {step.name}  ", "bold"), _filled(step.case, catalog)), soft_wrap=True
    )


def show_result(console: Console, result: StepResult, catalog: Catalog) -> None:
    """Show the reply, each variable with its source and age, and why it is so."""
    variables = table("variable", "value", "source", "age")
    for name, outcome in result.log_line["lookups"].items():
        for variable in catalog.lookups[name].variables:
            known = variable in result.reply.variables
            value = Text(result.reply.variables[variable]) if known else Text("left out", "dim")
            source = outcome["source"] if known else Source.NONE
            variables.add_row(Text(variable), value, Text(source, _STYLES.get(source, "")), _age(outcome))
    verdict = Text.assemble(code_text(result.reply.code), "   ", result.time)
    lines = [verdict, Text(result.reply.info, "dim"), _filled(result.step.why, catalog)]
    if not result.as_expected:
        expected = f"{result.step.code.name} and a {result.step.source} order"
        lines.append(Text(f"This run went another way: the story has {expected} here.", "bold red"))
    if result.reply.took > PATIENCE:
        slow = (
            f"It took {result.reply.took:.1f} s until the reply was here, and Desk waits for {PATIENCE:g} s"
        )
        lines.append(Text(f"{slow}: this machine is too busy to show what a gateway can do.", "bold red"))
    parts: list[RenderableType] = [variables, *filter(None, lines)]
    for part in parts:
        console.print(Padding(part, (0, 0, 0, _INDENT), expand=False))
    console.print()


def show_summary(console: Console, results: Sequence[StepResult]) -> None:
    """Show all steps in one table."""
    summary = table("", "step", "the order is", "age", "code", "took")
    for number, result in enumerate(results, 1):
        source = Text(result.source, _STYLES.get(result.source, ""))
        age = _age(result.log_line["lookups"]["order"])
        summary.add_row(str(number), result.step.name, source, age, code_text(result.reply.code), result.time)
    console.print(summary)
    console.print()


def show_invitation(console: Console, curl: str, call: str) -> None:
    """Show commands to try while the demo stays up."""
    lines = (
        Text("Everything stays up. In a second terminal, send the callback that Tencent documents:", "bold"),
        Text(curl, "cyan"),
        Text(
            "or one about an order that makes the CRM hang (also: down-1, late-1, reset-1, garbage-1):",
            "bold",
        ),
        Text(call, "cyan"),
        Text("What becomes of it is shown here. Ctrl-C stops everything.", "bold"),
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    console.print()


def show_callback(console: Console, line: Mapping[str, Any]) -> None:
    """Show in one line how a callback from outside the story was answered."""
    if line["event"] == "callback.refused":
        console.print(
            Text.assemble("  ", code_text(line["code"]), f"   {printable(line['reason'])}"), soft_wrap=True
        )
    elif line["event"] == "callback.answered":
        parts = [f"{name} {o['source']}{_aged(o)}" for name, o in line["lookups"].items()]
        took = time_text(line["took_ms"] / 1000, line["budget_ms"] / 1000)
        sources = Text(f"   {', '.join(parts)}")
        console.print(Text.assemble("  ", code_text(line["code"]), "   ", took, sources), soft_wrap=True)


def _filled(text: str, catalog: Catalog) -> Text:
    """Return a text of a step, filled with the durations of the configuration."""
    durations = {name: lookup.fresh for name, lookup in catalog.lookups.items()}
    return Text(text.format(budget=catalog.settings.gateway.budget, **durations))


def _age(outcome: Mapping[str, Any]) -> str:
    """Return the age of a lookup's answer, ``""`` when it has none."""
    if outcome["age_ms"] is None:
        return ""
    if outcome["source"] == Source.LIVE:
        return "now"
    seconds = outcome["age_ms"] / 1000
    if seconds >= _LONG:
        return brief_duration(seconds)
    return f"{int(seconds * 10) / 10} s"  # cut off as in the reply's line for people, not rounded


def _aged(outcome: Mapping[str, Any]) -> str:
    age = _age(outcome)
    return f" {age} old" if age not in {"", "now"} else ""
