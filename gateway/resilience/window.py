"""The last calls of one process, counted: a sliding window of ten buckets. Pure."""

BUCKETS = 10


class Window:
    """How many calls of the last ``seconds`` were made, and how many of them failed."""

    def __init__(self, seconds: float) -> None:
        """Begin without calls."""
        self._bucket = seconds / BUCKETS
        self._counts: dict[int, list[int]] = {}

    def note(self, now: float, *, failed: bool) -> None:
        """Count a call that has ended now."""
        number = int(now / self._bucket)
        counted = self._counts.get(number)
        if counted is None:
            counted = self._counts[number] = [0, 0]
            for old in [one for one in self._counts if one <= number - BUCKETS]:
                del self._counts[old]
        counted[0] += 1
        counted[1] += failed

    def counts(self, now: float) -> tuple[int, int]:
        """Return the number of calls, and of those that failed."""
        oldest = int(now / self._bucket) - BUCKETS
        recent = [counted for number, counted in self._counts.items() if number > oldest]
        return sum(calls for calls, _ in recent), sum(failures for _, failures in recent)

    def clear(self) -> None:
        """Forget all calls."""
        self._counts.clear()
