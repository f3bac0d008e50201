"""Census: how the lanes stand, counted in Redis in two round trips, however many lanes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.core.packing import UNREADABLE
from gateway.queue.jobs import Envelope, arq_keys, server_ms
from gateway.wire.keys import Keys, count_configurations
from gateway.wire.link import RedisLink

_REFRESHES, _CLAIMED = "5e11", "1e12"  # the bands of scores: see lua/lane.lua
_envelopes = msgspec.msgpack.Decoder(Envelope)


class LaneCensus(NamedTuple):
    """How a lane stands.

    ``waiting`` are the jobs that a callback waits for and no worker has begun, ``refreshes`` those that no
    callback waits for, ``claimed`` those in a worker's hands. The oldest of the waiting ones was enqueued
    ``oldest`` seconds ago. ``workers`` listen, with ``free`` slots. They can run ``rate`` jobs per second,
    of ``takes`` seconds each. ``polled``: the ``arq`` command runs the lane, too.
    ``configurations`` counts the workers by the digest of the lane's lookups that they know.
    """

    waiting: int
    refreshes: int
    claimed: int
    oldest: float | None
    workers: int
    free: int
    rate: float
    takes: float | None
    polled: bool
    configurations: Counter[str]


async def count_lanes(link: RedisLink, keys: Keys, lanes: Sequence[str]) -> dict[str, LaneCensus]:
    """Return how each lane stands; raise QueueUnavailable."""
    asked = [_ask(link, keys, lane) for lane in lanes]
    now = link.execute("TIME")
    found: list[list[Any]] = [[await one for one in row] for row in asked]
    now_ms = server_ms(await now)
    channels = [channel for row in found for channel in row[4][::2]]
    firsts = [arq_keys(row[3][0].decode(errors="replace"))[0] for row in found if row[3]]
    heard_asked = link.execute("PUBSUB", "NUMSUB", *channels)
    jobs_asked = link.execute("MGET", *firsts) if firsts else None
    heard = await heard_asked
    jobs = iter(await jobs_asked if jobs_asked is not None else [])
    listening = {channel for channel, count in zip(heard[::2], heard[1::2], strict=True) if count}
    return {
        lane: _census(row, next(jobs) if row[3] else None, listening, now_ms)
        for lane, row in zip(lanes, found, strict=True)
    }


def _ask(link: RedisLink, keys: Keys, lane: str) -> list[Any]:
    name = keys.lane(lane)
    return [
        link.execute("ZCOUNT", name, "-inf", f"({_REFRESHES}"),
        link.execute("ZCOUNT", name, _REFRESHES, f"({_CLAIMED}"),
        link.execute("ZCOUNT", name, _CLAIMED, "+inf"),
        link.execute("ZRANGE", name, "-inf", f"({_REFRESHES}", "BYSCORE", "LIMIT", 0, 1),
        link.execute("ZRANGE", keys.free(lane), 0, -1, "WITHSCORES"),
        link.execute("HGETALL", keys.pace(lane)),
        link.execute("EXISTS", keys.polled(lane)),
    ]


def _census(row: Sequence[Any], job: bytes | None, listening: set[bytes], now_ms: float) -> LaneCensus:
    waiting, refreshes, claimed, _, free, pace, polled = row
    slots = {channel: int(float(count)) for channel, count in zip(free[::2], free[1::2], strict=True)}
    paces = [p.split() for worker, p in zip(pace[::2], pace[1::2], strict=True) if worker in listening]
    workers = [worker for worker in slots if worker in listening]
    rates = [float(rate) for _, rate in paces]
    takes = sum(float(ms) for ms, _ in paces) / len(paces) / 1000 if paces else None
    return LaneCensus(
        waiting,
        refreshes,
        claimed,
        _age(job, now_ms),
        len(workers),
        sum(max(0, slots[worker]) for worker in workers),
        sum(rates),
        takes,
        bool(polled),
        count_configurations(workers),
    )


def _age(job: bytes | None, now_ms: float) -> float | None:
    """Return the seconds since a job was enqueued; None if it has just gone, or is not one of ours."""
    if job is None:
        return None
    try:
        return max(0.0, (now_ms - _envelopes.decode(job).enqueued_ms) / 1000)
    except UNREADABLE:
        return None
