"""An observer of a call, which tests ask what it has heard."""

from collections.abc import Callable

from gateway.core.errors import NoAnswer
from gateway.resilience.policy import Observer


class Hearing(Observer):
    """Passes each failure before a retry on, and keeps the number and the outcome of each attempt."""

    def __init__(self, retried: Callable[[int, NoAnswer], None] = lambda _number, _error: None) -> None:
        """Take the function that gets the failures."""
        self._retried = retried
        self.outcomes: list[tuple[int, str]] = []

    def retried(self, number: int, error: NoAnswer) -> None:
        """Pass it on."""
        self._retried(number, error)

    def ended(self, number: int, outcome: str, took: float) -> None:
        """Keep it."""
        assert took >= 0
        self.outcomes.append((number, outcome))
