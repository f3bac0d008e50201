"""The table ``backends.NAME.breaker``, and its contradictions."""

from collections.abc import Iterator

from gateway.declared.reading import Fault
from gateway.declared.values import Duration, Table, check_positive


class Breaker(Table, frozen=True, kw_only=True):
    """When a backend is not asked any more, and for how long. The words are those of Polly."""

    failure_ratio: float = 0.8
    minimum_throughput: int = 20
    sampling_duration: Duration = Duration(10)
    break_duration: Duration = Duration(2)
    slow_call: Duration | None = None
    dry_run: bool = False


def check_breaker(path: str, breaker: Breaker) -> Iterator[Fault]:
    """Yield the contradictions of the table at ``path``."""
    yield from check_positive(path, breaker, ("minimum_throughput", "sampling_duration", "break_duration"))
    if not 0 < breaker.failure_ratio <= 1:
        yield Fault(f"{path}.failure_ratio", "must be more than 0, and at most 1")
    if breaker.slow_call is not None and breaker.slow_call <= 0:
        yield Fault(f"{path}.slow_call", "must be more than zero")
