"""The attempts of a call, told as events."""

from gateway.core.errors import NoAnswer
from gateway.resilience.policy import Observer
from gateway.telemetry import events


class AttemptReporter(Observer):
    """Tells of each attempt that a lookup makes at a backend."""

    def __init__(self, lookup: str, backend: str, trace_id: str) -> None:
        """Take the words of the lines."""
        self._lookup, self._backend, self._trace_id = lookup, backend, trace_id

    def retried(self, number: int, error: NoAnswer) -> None:
        """Tell of an attempt that another one follows."""
        events.lookup_retried(
            lookup=self._lookup,
            backend=self._backend,
            attempt=number,
            code=error.code,
            reason=str(error),
            trace_id=self._trace_id,
        )

    def ended(self, number: int, outcome: str, took: float) -> None:
        """Tell of the end of an attempt."""
        events.attempt_ended(
            lookup=self._lookup,
            backend=self._backend,
            attempt=number,
            outcome=outcome,
            took=took,
            trace_id=self._trace_id,
        )
