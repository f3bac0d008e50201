"""The part that all policies with a gate share: who may pass, and who is the probe."""

import itertools
from collections.abc import Awaitable

from gateway.core.errors import NoAnswer
from gateway.resilience.board import Board, Decide
from gateway.resilience.gate import OPEN, Gate
from gateway.resilience.policy import Call

LEASE_MARGIN = 1.0
"""Seconds past the longest attempt after which the process of a probe is taken for dead."""

_numbers = itertools.count()
"""Names the probes of this process. Two gatekeepers may stand before one gate: a lane's and a client's."""


class Gatekeeper:
    """Lets the calls of one process through a gate that the fleet shares."""

    def __init__(self, board: Board, name: str, lease: float) -> None:
        """Take the name of the gate on the board, and the seconds that a probe may take."""
        self.board = board
        self.gate = board.entry(name, OPEN)
        self._lease = lease + LEASE_MARGIN
        self._asking = False
        self.probe: Call | None = None
        """The call that is the probe, if it is one of this process."""
        self.permit = ""
        """The name of this process's probe on the board."""

    def admit(self, call: Call, refusal: NoAnswer) -> Awaitable[None]:
        """Return what makes a call the probe, or raises the refusal; raise it at once if no probe may go.

        The gate is not open.
        """
        if self.gate.value.refuses(self.board.now()) or self._asking or self.probe is not None:
            raise refusal
        return self._become_probe(call, refusal)

    def ends_probe(self, call: Call) -> bool:
        """True if this call was the probe: it is none any more."""
        if call is not self.probe:
            return False
        self.probe = None
        return True

    def by_probe(self, decide: Decide[Gate]) -> Decide[Gate]:
        """Return the decision for a gate whose probe is still ours: a late probe decides nothing."""
        permit = self.permit
        return lambda gate, now: decide(gate, now) if gate.probe == permit else None

    def give_back(self) -> None:
        """Let another call be the probe: this one has said nothing."""
        permit = self.permit
        self.gate.change_soon(lambda gate, _: gate.unleased(permit))

    async def _become_probe(self, call: Call, refusal: NoAnswer) -> None:
        permit = f"{self.board.me}.{next(_numbers)}"
        self._asking = True
        try:
            leased = await self.gate.change(lambda gate, now: gate.lease(permit, now, self._lease))
        finally:
            self._asking = False
        if leased is not None:
            self.probe, self.permit = call, permit
        elif not self.gate.value.is_open:
            raise refusal
