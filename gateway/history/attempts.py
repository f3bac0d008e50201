"""The attempts of lookups that are under way, put together of the events about them."""

from gateway.history.making import Attempt
from gateway.telemetry.events import Event

_MOST = 10_000


class Attempts:
    """What was heard of attempts, until their lookup ends. If too many never do, all are dropped."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._begun: dict[str, Attempt] = {}
        self._of_lookup: dict[tuple[str, str], list[Attempt]] = {}

    def clear(self) -> None:
        """Forget them."""
        self._begun.clear()
        self._of_lookup.clear()

    def note_reply(self, event: Event) -> None:
        """Note what the backend has replied."""
        if len(self._begun) >= _MOST:
            self._begun.clear()
        attempt = self._begun[event.fields["span_id"]] = Attempt()
        attempt.replied = event

    def note_end(self, event: Event) -> None:
        """Note how one ended."""
        fields = event.fields
        attempt = self._begun.pop(fields["span_id"], None) or Attempt()
        attempt.ended = fields
        if len(self._of_lookup) >= _MOST:
            self._of_lookup.clear()
        self._of_lookup.setdefault((fields["trace_id"], fields["lookup"]), []).append(attempt)

    def note_retry(self, event: Event) -> None:
        """Note why another one follows."""
        fields = event.fields
        for attempt in self._of_lookup.get((fields["trace_id"], fields["lookup"]), ()):
            if attempt.ended is not None and attempt.ended["attempt"] == fields["attempt"]:
                attempt.retried = fields["reason"]

    def take(self, trace_id: str, lookup: str) -> tuple[Attempt, ...]:
        """Return those of a lookup that has ended, oldest first."""
        return tuple(self._of_lookup.pop((trace_id, lookup), ()))
