"""The table ``[history]``, and its contradictions."""

from collections.abc import Iterator
from typing import Literal

from gateway.declared.reading import Fault
from gateway.declared.values import Duration, Table, check_positive

Level = Literal["off", "base", "values"]
"""What is kept of callbacks: nothing; how they were answered; and with which values."""


class HistoryTable(Table, frozen=True, kw_only=True):
    """What is kept in Redis of the callbacks of each session, for people who ask why."""

    level: Level = "base"
    kept: Duration = Duration(86_400)
    per_session: int = 50
    sessions: int = 10_000


def check_history(table: HistoryTable) -> Iterator[Fault]:
    """Yield the contradictions of the table."""
    yield from check_positive("history", table, ("kept", "per_session", "sessions"))
