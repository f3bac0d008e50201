"""The story of ``deskgate demo``: what the CRM does in each step, and what Desk hears because of it."""

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
from gateway.tools.call import PATIENCE, Heard
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
class Step:
    """One callback: what is the case, why the reply is what it is, and what it must be.

    ``script`` is what the CRM plays, ``order`` what Desk asks about, ``later`` whether the order's answer has
    to age before; ``code`` and ``source`` (the order's) are what the reply must show.
    """

    name: str
    case: str
    why: str
    script: str
    code: Code
    source: Source
    order: str = "1001"
    later: bool = False


STEPS = (
    Step(
        "live",
        "The CRM is healthy; nothing is known about this session yet.",
        "A worker asked the CRM for the customer and for order 1001, side by side.",
        HEALTHY,
        Code.OK,
        Source.LIVE,
    ),
    Step(
        "fresh",
        "The same callback again, at once.",
        "Both answers are fresh (order: {order:g} s, customer: {customer:g} s), so nobody asked the CRM.",
        HEALTHY,
        Code.OK,
        Source.FRESH,
    ),
    Step(
        "stale",
        "{order:g} s later, order 1001 once more; but now the CRM answers 503 to every call.",
        "The order is fresh no longer, and every attempt failed: its last known answer goes out.",
        FAILING,
        Code.BACKEND_UNAVAILABLE,
        Source.STALE,
        later=True,
    ),
    Step(
        "fallback",
        "The CRM still fails, and order 1002 was never asked for.",
        "No record of another order stands in for it: the declared fallback goes out.",
        FAILING,
        Code.BACKEND_UNAVAILABLE,
        Source.FALLBACK,
        order="1002",
    ),
    Step(
        "timeout",
        "Order 1001 again, and the CRM takes every call without ever answering.",
        "The budget of {budget:g} s ends before Desk's 2 s do: the last known order goes out in time.",
        HANGING,
        Code.TIMEOUT,
        Source.STALE,
    ),
    Step(
        "recovery",
        "The CRM is well again, and Desk asks about order 1001.",
        "The order was asked for anew, and the answer is live.",
        HEALTHY,
        Code.OK,
        Source.LIVE,
    ),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a step: the reply, and the gateway's log line of the callback."""

    step: Step
    heard: Heard
    answered: Mapping[str, Any]

    @property
    def source(self) -> str:
        """Where the order came from."""
        return str(self.answered["lookups"]["order"]["source"])

    @property
    def as_expected(self) -> bool:
        """Whether the reply is what the story says."""
        return self.heard.code == self.step.code and self.source == self.step.source

    @property
    def time(self) -> Text:
        """The time that it took, of the budget."""
        return time_text(self.answered["took_ms"] / 1000, self.answered["budget_ms"] / 1000)


def show_case(console: Console, number: int, step: Step, catalog: Catalog) -> None:
    """Show what is the case before a step's callback is sent."""
    console.print(
        Text.assemble((f"{number}  {step.name}  ", "bold"), _filled(step.case, catalog)), soft_wrap=True
    )


def show_told(console: Console, told: Told, catalog: Catalog) -> None:
    """Show what came back, each variable with its source and age, and why."""
    variables = table("variable", "value", "source", "age")
    for name, outcome in told.answered["lookups"].items():
        for variable in catalog.lookups[name].variables:
            known = variable in told.heard.variables
            value = Text(told.heard.variables[variable]) if known else Text("left out", "dim")
            source = outcome["source"] if known else Source.NONE
            variables.add_row(Text(variable), value, Text(source, _STYLES.get(source, "")), _age(outcome))
    verdict = Text.assemble(code_text(told.heard.code), "   ", told.time)
    lines = [verdict, Text(told.heard.info, "dim"), _filled(told.step.why, catalog)]
    if not told.as_expected:
        expected = f"{told.step.code.name} and a {told.step.source} order"
        lines.append(Text(f"This run went another way: the story has {expected} here.", "bold red"))
    if told.heard.took > PATIENCE:
        slow = f"It took {told.heard.took:.1f} s until the reply was here, and Desk waits for {PATIENCE:g} s"
        lines.append(Text(f"{slow}: this machine is too busy to show what a gateway can do.", "bold red"))
    parts: list[RenderableType] = [variables, *filter(None, lines)]
    for part in parts:
        console.print(Padding(part, (0, 0, 0, _INDENT), expand=False))
    console.print()


def show_summary(console: Console, story: Sequence[Told]) -> None:
    """Show all steps in one table."""
    summary = table("", "step", "the order is", "age", "code", "took")
    for number, told in enumerate(story, 1):
        source = Text(told.source, _STYLES.get(told.source, ""))
        age = _age(told.answered["lookups"]["order"])
        summary.add_row(str(number), told.step.name, source, age, code_text(told.heard.code), told.time)
    console.print(summary)
    console.print()


def show_invitation(console: Console, curl: str, call: str) -> None:
    """Show what can be tried while the demo stays up."""
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
    """Show in one line what became of a callback that somebody else sent."""
    if line["event"] == "callback.refused":
        console.print(Text.assemble("  ", code_text(line["code"]), f"   {line['reason']}"), soft_wrap=True)
    elif line["event"] == "callback.answered":
        parts = [f"{name} {o['source']}{_aged(o)}" for name, o in line["lookups"].items()]
        took = time_text(line["took_ms"] / 1000, line["budget_ms"] / 1000)
        sources = Text(f"   {', '.join(parts)}")
        console.print(Text.assemble("  ", code_text(line["code"]), "   ", took, sources), soft_wrap=True)


def _filled(text: str, catalog: Catalog) -> Text:
    """Return a text of a step with the durations of the configuration."""
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
