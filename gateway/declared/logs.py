"""The table ``[logs]``, its contradictions, and the :class:`LogChoice` that it means."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from gateway.declared.reading import Fault
from gateway.declared.values import Table

Level = Literal["debug", "info", "warning", "error"]
Users = Literal["plain", "hashed", "none"]


class LogTable(Table, frozen=True, kw_only=True):
    """What the log tells."""

    level: Level = "info"
    user: Users = "plain"
    sample_ok: float = 1.0


@dataclass(frozen=True, slots=True, repr=False)
class LogChoice:
    """What the log tells, compiled: events of this ``level`` and above.

    Of the callbacks and lookups whose code is 0, the share ``sampled`` is told, both or neither of one
    callback. A hashed ``user`` is the same in each process: its hash has the ``key`` of the apps' tokens.
    """

    level: Level = "info"
    user: Users = "plain"
    sampled: float = 1.0
    key: bytes = b""

    def named(self, user: str) -> str:
        """Return what the log calls a user."""
        if self.user == "plain" or not user:
            return user
        if self.user == "none":
            return ""
        return blake2b(user.encode(errors="replace"), key=self.key, digest_size=8).hexdigest()


def check_logs(table: LogTable, *, has_key: bool) -> Iterator[Fault]:
    """Yield the contradictions of the table. ``has_key``: an app has a token, so hashes have a key."""
    if table.user == "hashed" and not has_key:
        message = (
            "'hashed' takes the tokens of the apps as its key, and no app has one: "
            "who reads the log can try telephone numbers until a hash fits; use 'none'"
        )
        yield Fault("logs.user", message, warning=True)
    if not 0 <= table.sample_ok <= 1:
        yield Fault("logs.sample_ok", "is a share from 0 to 1, such as 0.01")


def compile_logs(table: LogTable, tokens: Iterable[str]) -> LogChoice:
    """Return what the table means; ``tokens`` are those of all apps."""
    key = blake2b("\n".join(sorted(tokens)).encode(), digest_size=32).digest()
    return LogChoice(table.level, table.user, table.sample_ok, key)
