"""What differs, grouped, as people read it, and as JSON."""

from collections import defaultdict
from typing import Any

from rich.console import Console
from rich.text import Text

from gateway.telemetry.terminal import printable
from gateway.tools.presentation import table
from gateway.tools.replaying.run import Difference, Replayed

MOST_EXAMPLES = 3
"""Callbacks that are named for each group."""

_MOST_GROUPS = 40


def groups(replayed: Replayed) -> list[tuple[Difference, list[str]]]:
    """Return each kind of difference once, with the trace ids of its callbacks; the most frequent first."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in replayed.differences:
        found[one.what, one.before, one.after].append(one.trace_id)
    kinds = [(Difference(*kind, traces[0]), traces) for kind, traces in found.items()]
    return sorted(kinds, key=lambda kind: -len(kind[1]))


def show(replayed: Replayed, console: Console) -> None:
    """Print what differs."""
    kinds = groups(replayed)
    if kinds:
        rows = table("callbacks", "what", "before", "after", "trace")
        for one, traces in kinds[:_MOST_GROUPS]:
            texts = (str(len(traces)), one.what, one.before, one.after, " ".join(traces[:MOST_EXAMPLES]))
            rows.add_row(*(Text(printable(text)) for text in texts))
        console.print(rows)
        if len(kinds) > _MOST_GROUPS:
            console.print(Text(f"… {len(kinds) - _MOST_GROUPS} kinds more; --json has all"))
        console.print()
    different = len({one.trace_id for one in replayed.differences})
    console.print(Text(f"{replayed.callbacks} callbacks replayed, {different} of them differ"))
    for why, count in replayed.left_out.items():
        console.print(Text(f"left out {count}: {printable(why)}", "yellow"))


def as_dict(replayed: Replayed) -> dict[str, Any]:
    """Return it as JSON has it."""
    return {
        "callbacks": replayed.callbacks,
        "left_out": dict(replayed.left_out),
        "differences": [
            {"what": one.what, "before": one.before, "after": one.after, "traces": traces}
            for one, traces in groups(replayed)
        ],
    }
