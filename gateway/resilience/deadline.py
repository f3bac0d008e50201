"""Deadline: no further attempt begins if it could not finish in time.

The first attempt always begins: even a late answer is worth a record. For the same reason, an attempt that
runs at the deadline goes on to its own timeout.
"""

import math

from gateway.resilience.policy import Call

WORTH_ANOTHER = 0.05
"""Least seconds left to begin another attempt: with less, it could not finish in time."""


class Deadline:
    """Sets the time after which no further attempt of a call begins. It refuses no call itself."""

    def admit(self, call: Call) -> None:
        """Set the time of the last start. A call that is not awaited gets one attempt."""
        call.last_start = call.deadline - WORTH_ANOTHER if call.awaited else -math.inf

    def succeeded(self, call: Call) -> None:
        """Do nothing."""

    def failed(self, call: Call, error: BaseException) -> None:
        """Do nothing."""
