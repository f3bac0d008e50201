"""The gate before a backend: open; shut for a while; or shut but for one call, the probe. Pure.

::

    open ───────────▶ shut ──its time is over: lease()──▶ probing ─────────▶ open
                      ▲                                     │
                      └─────────────────────────────────────┘

All processes of the fleet see one gate. So there is one probe in the whole fleet. If the process of a probe
dies, its lease ends, and another process may probe. Times are seconds on the board's clock.
"""

from collections.abc import Mapping
from typing import Self

import msgspec

LONGEST = 3601.0
"""Most seconds for which a gate is shut. A longer time means that the clock was set back."""


class Gate(msgspec.Struct, frozen=True, array_like=True):
    """Shut until ``until`` (0: open), then open for ``probe`` alone, until ``leased``.

    ``length`` is for how long it was shut last. ``votes`` are the processes that want an open gate to be
    shut, each with the time of its vote. ``against`` are those that want it open.
    """

    until: float = 0.0
    length: float = 0.0
    probe: str = ""
    leased: float = 0.0
    votes: Mapping[str, float] = {}
    against: Mapping[str, float] = {}

    @property
    def is_open(self) -> bool:
        """True if every call may pass."""
        return not self.until

    def refuses(self, now: float) -> bool:
        """True if no call may pass, not even a probe."""
        ends = self.leased if self.probe else self.until
        return now < ends <= now + LONGEST

    def left(self, now: float) -> float:
        """Return the seconds until a call may pass."""
        return max(0.0, min(LONGEST, (self.leased if self.probe else self.until) - now))

    def lease(self, probe: str, now: float, seconds: float) -> Self | None:
        """Return it with its probe given to ``probe``; None if no probe may go now."""
        if self.is_open or self.refuses(now):
            return None
        return type(self)(self.until, self.length, probe, now + seconds)

    def unleased(self, probe: str) -> Self | None:
        """Return it with the probe of ``probe`` given back, so that another may go; None if it has none."""
        return type(self)(self.until, self.length) if self.probe == probe else None

    def voted(self, voter: str, now: float, window: float, *, against: bool = False) -> Self:
        """Return it with a vote more, without the votes older than ``window`` seconds."""

        def recent(votes: Mapping[str, float]) -> dict[str, float]:
            return {name: at for name, at in votes.items() if name != voter and now - window < at <= now}

        votes, others = recent(self.votes), recent(self.against)
        (others if against else votes)[voter] = now
        return type(self)(votes=votes, against=others)


OPEN = Gate()
