"""Events as a person reads them on a terminal, without a character that the terminal would obey."""

import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def printable(text: str) -> str:
    """Return ``text`` with each character escaped that is no visible one, such as those of escape sequences.

    It may come from anybody: the path of a request without a signature is logged, too.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class TerminalLine:
    """Renders an event as lines of text (structlog's ConsoleRenderer)."""

    def __init__(self, *, colors: bool) -> None:
        """Take whether to use colours."""
        import structlog  # noqa: PLC0415 - see logs.py

        self._render = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_write_trace)

    def __call__(self, logger: object, name: str, event: MutableMapping[str, Any]) -> str:
        """Return the text of an event."""
        return str(self._render(logger, name, _harmless(event)))


def _harmless(value: Any) -> Any:  # noqa: ANN401 - any value of an event
    """Return a value whose text has no unprintable character; what is no text is shown by its repr()."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {_harmless(key): _harmless(inner) for key, inner in value.items()}
    return value


def _write_trace(out: TextIO, exc_info: _ExcInfo) -> None:
    """Write a traceback without the values of variables: they may be a user's, or a token."""
    lines = "".join(traceback.format_exception(*exc_info)).splitlines()
    out.write("\n" + "\n".join(map(printable, lines)))
