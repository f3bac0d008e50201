"""The attempts of a call, told as events, and named to the backend by W3C Trace Context (``traceparent``)."""

import random
import re

from gateway.core.errors import NoAnswer
from gateway.resilience.policy import Observer
from gateway.telemetry import events

_TRACE_ID = re.compile(r"(?!0+$)[0-9a-f]{16,32}", re.ASCII)


class AttemptReporter(Observer):
    """Tells of each attempt that a lookup makes at a backend."""

    def __init__(self, lookup: str, backend: str, trace_id: str) -> None:
        """Take the words of the lines."""
        self._lookup, self._backend, self._trace_id = lookup, backend, trace_id
        self._first_span = random.getrandbits(63)
        self._begun = 0

    def begin(self) -> str:
        """Return the ``traceparent`` of the next attempt; ``""`` if the job came with another kind of id."""
        self._begun += 1
        if not _TRACE_ID.fullmatch(self._trace_id):
            return ""
        return f"00-{self._trace_id:0>32}-{self._span_id(self._begun)}-01"

    def _span_id(self, number: int) -> str:
        return f"{self._first_span + number:016x}"

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
            span_id=self._span_id(number),
        )
