"""Lookups that cost nothing: what is left is the way to them and back."""

import asyncio

from gateway.lookup import Ask

NAP = 0.02
BEDS = 20
_beds = asyncio.Semaphore(BEDS)


async def noop(_: Ask) -> dict[str, str]:
    """Answer at once."""
    return {"answer": "42"}


async def nap(_: Ask) -> dict[str, str]:
    """Answer after 20 ms, spent waiting, as a backend does that takes so many at a time."""
    async with _beds:
        await asyncio.sleep(NAP)
    return {"answer": "42"}


async def five_seconds(_: Ask) -> dict[str, str]:
    """Answer after 5 s."""
    await asyncio.sleep(5.0)
    return {"answer": "late"}
