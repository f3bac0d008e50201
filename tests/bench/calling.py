"""A caller process: it begins when a line of JSON comes in, and tells how it went on the line that goes out.

Nothing but the standard library and uvloop is imported here: every peer's virtualenv has to run it.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter
from typing import Any

import uvloop

STRAGGLERS = 2.2
"""Seconds past the end of a turn for which callers still wait for their answers."""

Call = Callable[[int], Awaitable[None]]
"""One job, from its enqueueing to its answer in the hands of the caller whose number is given."""

Turn = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class LostError(Exception):
    """A call got no answer, or a bad one."""


async def converse(turn: Turn) -> None:
    """Take orders from standard input and answer each on standard output, until the input closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await turn(json.loads(line))), file=answers, flush=True)


async def serve(call: Call) -> None:
    """Answer orders of ``{"callers": COUNT, "seconds": LENGTH}`` with the samples of closed-loop callers."""
    await converse(lambda order: closed_loop(call, order["callers"], order["seconds"]))


async def closed_loop(call: Call, callers: int, seconds: float) -> dict[str, Any]:
    """Call over and over, ``callers`` at a time, for ``seconds``.

    Return the latencies in ms of the calls that ended in time, the count of those that ended after it, and
    the count of those that never did.
    """
    samples: list[float] = []
    late = lost = 0
    end = perf_counter() + seconds

    async def one(caller: int) -> None:
        nonlocal late, lost
        while (begun := perf_counter()) < end:
            try:
                await call(caller)
            except LostError:
                lost += 1
                continue
            now = perf_counter()
            if now <= end:
                samples.append((now - begun) * 1000)
            else:
                late += 1

    ended, stuck = await asyncio.wait(
        [asyncio.create_task(one(caller)) for caller in range(callers)], timeout=seconds + STRAGGLERS
    )
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    for task in ended:
        task.result()
    return {
        "ms": [round(ms, 4) for ms in samples],
        "late": late,
        "lost": lost + len(stuck),
        "seconds": seconds,
    }


def run(
    worker: Callable[[str], Coroutine[Any, Any, None]], caller: Callable[[str], Coroutine[Any, Any, None]]
) -> None:
    """Run the side of a peer that the command line names, on the server that it names."""
    role, url = sys.argv[1:]
    uvloop.run({"worker": worker, "caller": caller}[role](url))
