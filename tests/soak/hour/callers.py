"""Callers that play Desk: each callback once, over kept connections, its reply compared with the truth."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import aiohttp

from tests.desk import DESK_PATIENCE, Desk, Heard

FALLBACK = "unknown"
CONNECTIONS = 40


@dataclass(slots=True)
class Tally:
    """What became of the callbacks of one time."""

    sent: int = 0
    in_time: int = 0
    late: int = 0
    lost: int = 0
    wrong: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    examples: list[str] = field(default_factory=list)


class Callers:
    """So many callbacks a second, by callers with a kept connection each. ``tally`` may be changed."""

    def __init__(self, address: tuple[str, int], rate: float, connections: int = CONNECTIONS) -> None:
        """Take where to call, and the callbacks a second."""
        self._address, self._pause, self._connections = address, connections / rate, connections
        self._numbers = count()
        self.tally = Tally()

    async def run(self, stopped: Callable[[], bool]) -> None:
        """Call until ``stopped``."""
        await asyncio.gather(*(self._call_on(number, stopped) for number in range(self._connections)))

    async def _call_on(self, caller: int, stopped: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._pause * caller / self._connections
        timeout = aiohttp.ClientTimeout(total=DESK_PATIENCE)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            desk = Desk(http).at(self._address)
            while not stopped():
                await asyncio.sleep(max(0.0, due - loop.time()))
                due += self._pause
                number = next(self._numbers)
                await self._call(desk, f"s{number % 500}", str(number % 2000))

    async def _call(self, desk: Desk, session: str, order: str) -> None:
        begun = time.monotonic()
        heard: Heard | None = None
        why = ""
        try:
            heard = await desk.call(session, user=f"user{order}", node="both", orderId=order)
        except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
            why = f"{type(error).__name__}: {error} after {time.monotonic() - begun:.2f} s"
        tally = self.tally  # of now: a callback belongs to the fault that met it
        tally.sent += 1
        if heard is None:
            tally.lost += 1
            tally.examples.append(why)
            return
        tally.in_time += heard.took < DESK_PATIENCE
        tally.late += heard.took >= DESK_PATIENCE
        tally.slowest = max(tally.slowest, heard.took)
        tally.codes[heard.code] += 1
        given = heard.variables
        order_right = given.get("order_id") in ({order} if heard.code == 0 else {order, FALLBACK})
        customer_right = given.get("customer_id", f"user{order}") == f"user{order}"
        if not (order_right and customer_right):
            tally.wrong += 1
            tally.examples.append(f"{order}: {heard.code} {given}")
