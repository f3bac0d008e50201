"""Counts of the calls that the CRM got. A test looks at them afterwards."""

from collections import Counter, OrderedDict
from collections.abc import Mapping

_PATHS_WITH_HEADERS = 1000


class Stats:
    """Counts calls per path, and how many ran at one time."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._last_headers: OrderedDict[str, Mapping[str, str]] = OrderedDict()
        self._in_flight = 0
        self._max_in_flight = 0

    def begin(self, path: str, headers: Mapping[str, str]) -> None:
        """Note a call that came in; an ``end`` must follow."""
        self._calls[path] += 1
        self._last_headers[path] = headers
        self._last_headers.move_to_end(path)
        if len(self._last_headers) > _PATHS_WITH_HEADERS:
            self._last_headers.popitem(last=False)  # a benchmark asks for paths without end
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)

    def end(self) -> None:
        """Note that a call has ended."""
        self._in_flight -= 1

    def zero(self) -> None:
        """Forget every call that is not in flight."""
        self._calls.clear()
        self._last_headers.clear()
        self._max_in_flight = self._in_flight

    @property
    def calls(self) -> dict[str, int]:
        """The calls so far, by path."""
        return dict(self._calls)

    def report(self) -> dict[str, object]:
        """Return the content of ``GET /_stats``; headers only of the 1000 paths called last."""
        return {
            "calls": self.calls,
            "total": self._calls.total(),
            "in_flight": self._in_flight,
            "max_in_flight": self._max_in_flight,
            "last_headers": {path: _readable(headers) for path, headers in self._last_headers.items()},
        }


def _readable(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers that JSON can hold: bytes outside UTF-8 came in as lone surrogates."""
    return {name: value.encode(errors="replace").decode() for name, value in headers.items()}
