"""The board over a real Valkey: changed by one process at a time, known to all, and of use without Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import QueueUnavailable
from gateway.fleet.board import FleetBoard
from gateway.fleet.reloading import wish_for_reload
from gateway.resilience.board import Entry
from gateway.resilience.gate import OPEN, Gate
from gateway.resilience.hold import hold_name
from gateway.resilience.operating import hold
from gateway.tools.processes import Valkey
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.desk import Place, when

NAME = "breaker:crm"


@asynccontextmanager
async def board(url: str, prefix: str) -> AsyncIterator[tuple[FleetBoard, Entry[Gate]]]:
    """The board of a process, and one entry of it."""
    link, keys = RedisLink(url, 1.0), Keys(prefix)
    shared = FleetBoard(link, keys)
    await link.start()
    await shared.start(2.0)
    try:
        yield shared, shared.entry(NAME, OPEN)
    finally:
        await shared.close()
        await link.close()


async def test_change_is_known_to_all_and_to_those_who_come_later(place: Place) -> None:
    """They read it locally."""
    async with (
        board(place.redis_url, place.prefix) as (one, mine),
        board(place.redis_url, place.prefix) as (
            two,
            theirs,
        ),
    ):
        changed = await mine.change(lambda _, now: Gate(now + 5.0, 5.0, votes={"a": now}))
        await when(lambda: theirs.value == changed)
        assert abs(one.now() - two.now()) < 0.1
        async with board(place.redis_url, place.prefix) as (_, late):
            await when(lambda: late.value == changed)
            assert await late.change(lambda _gate, _now: None) is None


def _has_come(entry: Entry[Gate], version: float) -> bool:
    return entry.version >= version


async def test_message_that_comes_late_does_not_set_the_clock_back(place: Place) -> None:
    """After a pause of a gateway, a backend would be left alone for as long again as the pause was."""
    keys = Keys(place.prefix)
    async with (
        board(place.redis_url, place.prefix) as (shared, entry),
        Redis.from_url(place.redis_url) as redis,
    ):
        await entry.change(lambda _, now: Gate(now + 60.0, 60.0))
        for version in (1e18, 2e18):
            before = await redis.time()
            value = msgspec.msgpack.encode((version, Gate(shared.now() + 60.0, 60.0)))
            now_ms = float(before[0] * 1000 + before[1] // 1000)
            message = msgspec.msgpack.encode((now_ms - 5000.0, NAME, msgspec.Raw(value)))
            await redis.publish(keys.fleet(), message)
            await when(partial(_has_come, entry, version))
            seconds, microseconds = await redis.time()
            assert shared.now() == pytest.approx(seconds + microseconds / 1e6, abs=1.0)


async def test_clock_of_a_server_that_was_set_back_is_learnt(place: Place) -> None:
    """After a failover a clock may be behind; the next message or question shows it."""
    async with (
        board(place.redis_url, place.prefix) as (shared, entry),
        Redis.from_url(place.redis_url) as redis,
    ):
        shared._ahead += 100.0
        now_ms = time.time() * 1000
        message = msgspec.msgpack.encode((now_ms, NAME, msgspec.Raw(msgspec.msgpack.encode((1e18, OPEN)))))
        await redis.publish(Keys(place.prefix).fleet(), message)
        await when(lambda: shared.now() == pytest.approx(time.time(), abs=2.0))
        shared._ahead += 100.0
        await entry.change(lambda _, now: Gate(now + 60.0, 60.0))
        assert shared.now() == pytest.approx(time.time(), abs=2.0)


async def test_of_many_who_change_at_once_each_sees_what_the_one_before_made(place: Place) -> None:
    """No change is lost, and none is made twice."""

    def count(gate: Gate, _: float) -> Gate:
        return Gate(gate.until + 1.0)

    async with (
        board(place.redis_url, place.prefix) as (_, mine),
        board(place.redis_url, place.prefix) as (
            _,
            theirs,
        ),
    ):
        made = await asyncio.gather(*(entry.change(count) for entry in (mine, theirs) for _ in range(2)))
        done = [gate.until for gate in made if gate is not None]
        assert sorted(done) == [float(number) for number in range(1, len(done) + 1)]
        assert len(done) >= 2
        await when(lambda: mine.value == theirs.value)


async def test_each_process_decides_for_itself_while_redis_is_lost(valkey: Valkey) -> None:
    """And for all of them when it is back, also if it comes back empty."""
    async with board(valkey.url, "t") as (_, mine), board(valkey.url, "t") as (_, theirs):
        first = await mine.change(lambda _, now: Gate(now + 100.0))
        await when(lambda: theirs.value == first)
        valkey.kill()
        alone = await mine.change(lambda gate, _: Gate(gate.until, 7.0))
        assert (alone, mine.value) == (mine.value, alone)
        assert theirs.value == first
        valkey.start()
        again = await changed_by_all(mine, theirs)
        await when(lambda: theirs.value == again)


async def test_entry_outlives_a_redis_that_comes_back_empty(valkey: Valkey) -> None:
    """Processes that start later know it, too: a refresh token that a server has changed is nowhere else."""
    async with board(valkey.url, "t") as (_, mine), board(valkey.url, "t") as (_, theirs):
        first = await mine.change(lambda _, now: Gate(now + 100.0))
        await when(lambda: theirs.value == first)
        valkey.kill()
        valkey.start()
        async with board(valkey.url, "t") as (_, late):
            await when(lambda: late.value == first)


async def test_entry_that_redis_has_lost_is_changed_as_it_is_known_here(place: Place) -> None:
    """Not as if nobody had heard of it."""
    async with board(place.redis_url, place.prefix) as (_, mine), Redis.from_url(place.redis_url) as redis:
        await mine.change(lambda _, now: Gate(now, 7.0))
        await redis.delete(Keys(place.prefix).board(NAME))
        made = await mine.change(lambda gate, _: Gate(gate.until + 1.0, gate.length))
        assert made is not None
        assert made.length == 7.0


async def changed_by_all(mine: Entry[Gate], theirs: Entry[Gate]) -> Gate | None:
    """Change an entry until the other process hears of it: links come back one by one."""
    while True:
        made = await mine.change(lambda gate, _: Gate(gate.until, gate.length + 1.0))
        async with asyncio.timeout(10):
            await asyncio.sleep(0.05)
        if theirs.value == made:
            return made


async def test_entry_that_cannot_be_read_counts_as_not_there_and_is_written_anew(place: Place) -> None:
    """Another release wrote it, or somebody else."""
    keys = Keys(place.prefix)
    async with Redis.from_url(place.redis_url) as redis:
        for garbage in (b"x", b"\x92\xcb\x41\x00\x00\x00\x00\x00\x00\x00\xa1x", b"\x92\x01\x90"):
            await redis.set(keys.board(NAME), garbage)
            with capture_logs() as lines:
                async with board(place.redis_url, place.prefix) as (_, mine):
                    made = await mine.change(lambda gate, now: Gate(now) if gate is OPEN else None)
                    assert made is not None
                    assert mine.value == made
                    await redis.publish(keys.fleet(), b"garbage")
                    await when(lambda: any(line["entry"] == "" for line in lines if "entry" in line))
            assert {line["event"] for line in lines} == {"fleet.unreadable"}
            await redis.delete(keys.board(NAME))


async def test_redis_that_refuses_to_write_is_as_one_that_is_lost(valkey: Valkey) -> None:
    """A full server must not keep a breaker from opening."""
    async with board(valkey.url, "t") as (_, mine), Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", 1)
        made = await mine.change(lambda _, now: Gate(now + 5.0))
        assert made is not None
        assert mine.value == made


@pytest.mark.parametrize("change", [partial(hold, lane="crm", seconds=60.0), wish_for_reload])
async def test_operators_word_is_for_the_whole_fleet_or_for_nobody(
    valkey: Valkey, change: Callable[[FleetBoard], Awaitable[None]]
) -> None:
    """A full server takes no hold: who believed in one would move a CRM that is still asked."""
    link = RedisLink(valkey.url, 1.0)
    ours = FleetBoard(link, Keys("t"))
    async with AsyncExitStack() as stack, Redis.from_url(valkey.url) as redis:
        stack.push_async_callback(link.close)
        stack.push_async_callback(ours.close)
        await link.start()
        await redis.config_set("maxmemory", 1)
        with pytest.raises(QueueUnavailable) as refused:
            await change(ours)
        assert link.why(refused.value).startswith("Redis refuses: OOM")
        valkey.stop()
        await when(lambda: link.lost)
        with pytest.raises(QueueUnavailable) as lost:
            await change(ours)
        assert link.why(lost.value).startswith("Redis cannot be reached: ")
        assert ours.entry(hold_name("crm"), OPEN).value is OPEN
