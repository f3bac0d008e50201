"""How call and demo show a reply to people: its code and meaning, its time, its variables."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.core.errors import Code

_PLAIN_WIDTH = 100

MEANINGS: Mapping[Code, str] = {
    Code.OK: "every variable is as good as asked for",
    Code.TIMEOUT: "the backend did not answer in time",
    Code.BACKEND_UNAVAILABLE: "the backend was not reached, broke off, or answered 5xx",
    Code.BACKEND_REJECTED: "the backend took the question for a wrong one (4xx)",
    Code.BAD_BACKEND_REPLY: "the backend's reply cannot be read, is too large, or lacks a required variable",
    Code.CIRCUIT_OPEN: "the backend was not asked: it has failed too often just now, or is held",
    Code.OVERLOADED: "the backend was not asked: too much is waiting already",
    Code.QUEUE_UNAVAILABLE: "Redis is unreachable or too slow",
    Code.NO_WORKERS: "no worker runs for this backend",
    Code.MISSING_INPUT: "a variable that a lookup needs is absent or empty",
    Code.LOOKUP_FAILED: "a Python lookup raised, or gateways and workers run different configurations",
    Code.INVALID_INPUT: "an input is none that the lookup takes; nobody was asked",
    Code.BACKEND_DENIED: "the backend did not accept our credentials",
    Code.BACKEND_THROTTLED: "the backend asked to be left alone for a while",
    Code.BAD_REQUEST: "the callback is not what the platform documents",
    Code.UNAUTHENTICATED: "the signature is missing, wrong, or too old: see --token",
    Code.UNKNOWN_APP: "the configuration has no such app: see --app and [apps]",
    Code.NO_ROUTE: "no route matches these variables and this path: see [[routes]]",
    Code.UNKNOWN_COMMAND: "the gateway does not handle this kind of callback",
    Code.TOO_LARGE: "the callback is over max_body",
    Code.WRONG_METHOD: "callbacks are POSTed",
    Code.INTERNAL: "a bug in the gateway: its log has the trace",
}
"""The meaning of each code, for people who send callbacks by hand."""

_NAMES: Mapping[int, str] = {int(code): code.name for code in Code}


def open_console() -> Console:
    """Return standard output: colours and its own width on a terminal, else plain text."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


def code_text(code: int) -> Text:
    """Return a code with its name."""
    name = _NAMES.get(code, "not a code of deskgate")
    return Text(f"{code} {name}", "bold green" if code == Code.OK else "bold yellow")


def meaning(code: int) -> str:
    """Return the meaning of a code, ``""`` for a code of another server."""
    return MEANINGS[Code(code)] if code in _NAMES else ""


def time_text(took: float, limit: float) -> Text:
    """Return the seconds that a reply took, beside their limit."""
    style = "green" if took < limit / 2 else "yellow"
    return Text.assemble((f"{_ms(took)} ms", style), (f" of {limit * 1000:.0f} ms", "dim"))


def table(*columns: str) -> Table:
    """Return an empty table. All tables look alike."""
    empty = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        empty.add_column(column, overflow="fold")
    return empty


def _ms(seconds: float) -> str:
    """Return milliseconds, with a decimal if they are few."""
    milliseconds = seconds * 1000
    return f"{milliseconds:.1f}" if milliseconds < 10 else f"{milliseconds:.0f}"  # noqa: PLR2004 - one digit
