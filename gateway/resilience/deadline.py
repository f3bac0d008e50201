"""Deadline: no further attempt begins that could not finish in time.

The first attempt always begins: even an answer that comes too late is worth a record. An attempt that is
running at the deadline goes on to its own timeout, for the same reason.
"""

import math

from gateway.resilience.policy import Call

WORTH_ANOTHER = 0.05
"""Least seconds left for which another attempt is begun: with less it could not finish in time."""


class Deadline:
    """Sets the moment after which a call's attempts are not repeated; it refuses nothing itself."""

    def admit(self, call: Call) -> None:
        """Note until when another attempt may begin. A call that nobody waits for gets one attempt."""
        call.last_start = call.deadline - WORTH_ANOTHER if call.awaited else -math.inf

    def succeeded(self, call: Call) -> None:
        """Nothing to note."""

    def failed(self, call: Call, error: BaseException) -> None:
        """Nothing to note."""
