"""A clock that tests move by hand: a sleeper wakes when it has been moved far enough."""

import asyncio
import heapq


class ManualClock:
    """Seconds from 1000 on. By itself it moves only while somebody sleeps: straight to the next waking.

    ``slept`` are the sleeps so far. With ``frozen`` nothing wakes until the clock is moved by :meth:`move`.
    """

    def __init__(self, *, frozen: bool = False) -> None:
        """Begin at 1000 s."""
        self.slept: list[float] = []
        self._now = 1000.0
        self._frozen = frozen
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Return the seconds."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has been moved by so many seconds."""
        self.slept.append(seconds)
        if not self._frozen:
            self._now += seconds
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, len(self.slept), future))
        await future

    def move(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
