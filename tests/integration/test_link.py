"""The link to Redis: shared by many callers, capped in time, made again by itself."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.core.errors import QueueUnavailable
from gateway.forgetting.forget import FORGET
from gateway.process.backoff import SHORTEST
from gateway.queue.finish import SWEEP
from gateway.tools.processes import Valkey
from gateway.wire import subscription as subscription_module
from gateway.wire.link import RedisLink
from gateway.wire.subscription import Subscription
from tests.desk import when


@asynccontextmanager
async def linked(valkey: Valkey, patience: float = 2.0) -> AsyncIterator[RedisLink]:
    """A link to ``valkey`` that is up, or has found that it cannot be."""
    link = RedisLink(valkey.url, patience)
    await link.start()
    try:
        yield link
    finally:
        await link.close()


async def commands_and_reads(valkey: Valkey) -> tuple[int, int]:
    """Return what the server has counted: commands run, and reads from sockets."""
    async with Redis.from_url(valkey.url) as redis:
        stats = await redis.info("stats")
    return int(stats["total_commands_processed"]), int(stats["total_reads_processed"])


async def test_answers_go_to_their_callers_in_order(shared_valkey: Valkey) -> None:
    """RESP has no identifiers: a mix-up would hand one session's variables to another."""
    async with linked(shared_valkey) as link:
        heard = await asyncio.gather(*(link.execute("ECHO", str(n)) for n in range(500)))
    assert heard == [str(n).encode() for n in range(500)]


async def test_commands_of_one_turn_leave_in_one_write(valkey: Valkey) -> None:
    """Sixty-four callbacks at once cost the network what one costs."""
    async with linked(valkey) as link:
        _, before = await commands_and_reads(valkey)
        await asyncio.gather(*(link.execute("PING") for _ in range(64)))
        _, after = await commands_and_reads(valkey)
    alone = 10  # what the two connections that count cost
    assert after - before < alone


async def test_error_of_one_command_is_its_callers_alone(shared_valkey: Valkey) -> None:
    """A script that fails must not break the connection that others share."""
    async with linked(shared_valkey) as link:
        heard = await asyncio.gather(
            link.execute("ECHO", "1"),
            link.execute("NOSUCH"),
            link.execute("ECHO", "2"),
            return_exceptions=True,
        )
        assert (heard[0], heard[2]) == (b"1", b"2")
        assert isinstance(heard[1], QueueUnavailable)
        assert isinstance(heard[1].__cause__, ResponseError)
        assert not link.lost


@pytest.mark.parametrize("run_loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_command_on_a_connection_that_has_just_broken_is_an_outage(
    run_loop: Callable[[Coroutine[Any, Any, None]], None], shared_valkey: Valkey
) -> None:
    """A caller between the break and its discovery must not get an error that it does not expect."""

    async def main() -> None:
        async with linked(shared_valkey) as link:
            assert link._wire is not None
            assert link._wire._transport is not None
            link._wire._transport.abort()
            heard = []
            for _ in range(5):  # turns of the loop
                heard.append(link.run(FORGET, [], []))
                await asyncio.sleep(0)
            for one in heard:
                with pytest.raises(QueueUnavailable):
                    await one
            await link.present.wait()

    run_loop(main())


async def test_cancelled_caller_leaves_the_others_answers_in_place(shared_valkey: Valkey) -> None:
    """A callback that gives up must not shift everyone else's answers by one."""
    async with linked(shared_valkey) as link:
        gone = asyncio.ensure_future(link.execute("ECHO", "gone"))
        kept = asyncio.ensure_future(link.execute("ECHO", "kept"))
        await asyncio.sleep(0)
        gone.cancel()
        assert await kept == b"kept"
        assert gone.cancelled()
        assert not link.lost
        assert await link.execute("ECHO", "next") == b"next"


@asynccontextmanager
async def mad_server(words: bytes) -> AsyncIterator[str]:
    """The address of a server that says yes to everything, and these words to a PING or a SUBSCRIBE."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                for _ in range(int(line[1:])):
                    await reader.readline()
                    word = (await reader.readline()).strip()
                    writer.write({b"CLIENT": b"+OK\r\n", b"PING": words, b"SUBSCRIBE": words}.get(word, b""))
        except (ConnectionError, asyncio.CancelledError):  # the test is over
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "words", [b"!\r\n", b"+OK\r\n" * 2, b"*-7\r\n", b"-ERR max number of clients reached\r\n" * 2]
)
async def test_what_no_redis_says_breaks_the_connection_and_no_more(words: bytes) -> None:
    """Another server on the port, or a faulty proxy, must not leave a gateway deaf for ever."""
    async with mad_server(words) as url:
        link = RedisLink(url, 2.0)
        subscription = Subscription(link, "channel", lambda _: None)
        await link.start()
        listening = asyncio.create_task(subscription.start(0.1))
        for _ in range(2):
            await link.present.wait()
            for one in await asyncio.gather(*(link.execute("PING") for _ in "ab"), return_exceptions=True):
                assert one == b"OK" or isinstance(one, QueueUnavailable)
            await when(lambda: link.lost)
        await listening
        assert subscription._task is not None
        assert not subscription._task.done()
        await subscription.close()
        await link.close()


async def test_hanging_server_costs_one_cap_and_then_nothing(valkey: Valkey) -> None:
    """The first call waits out its cap; those after it fail at once until the server is back."""
    async with linked(valkey, patience=0.1) as link:
        valkey.signal(signal.SIGSTOP)
        with pytest.raises(QueueUnavailable, match="TimeoutError"):
            await link.execute("PING")
        assert link.lost
        with pytest.raises(QueueUnavailable, match="lost"):
            await link.execute("PING")
        valkey.signal(signal.SIGCONT)
        await when(lambda: not link.lost)
        assert await link.execute("ECHO", "back") == b"back"


@pytest.mark.parametrize("kind", ["link", "subscription"])
async def test_server_that_hangs_up_is_tried_again_with_pauses(kind: str) -> None:
    """A Redis that starts must not be met by all processes at once, as often as they can."""
    tried: list[float] = []
    clock = asyncio.get_running_loop().time

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried.append(clock())
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        link = RedisLink(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", 2.0)
        subscription = Subscription(link, "channel", lambda _: None)
        await (link.start() if kind == "link" else subscription.start(patience=0.0))
        await when(lambda: len(tried) > 4)
        await subscription.close()
        await link.close()
    assert tried[4] - tried[0] >= 4 * SHORTEST


async def test_silent_death_of_a_subscription_is_noticed(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes on it when nothing is published, either; a worker would wait for its jobs for ever."""
    monkeypatch.setattr(subscription_module, "_PING_EVERY", 0.05)
    monkeypatch.setattr(subscription_module, "_SILENCE", 0.3)
    async with linked(valkey) as link:
        subscription = Subscription(link, "channel", lambda _: None)
        await subscription.start(patience=2.0)
        valkey.signal(signal.SIGSTOP)
        await when(lambda: not subscription.present.is_set())
        valkey.signal(signal.SIGCONT)
        await subscription.present.wait()
        await subscription.close()


async def test_subscription_outlives_a_pause_of_its_process(
    shared_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that comes back from a pause must not lose its jobs, and count as dead."""
    monkeypatch.setattr(subscription_module, "_PING_EVERY", 0.05)
    monkeypatch.setattr(subscription_module, "_SILENCE", 0.3)
    begun: list[float] = []
    async with linked(shared_valkey) as link:
        subscription = Subscription(link, "paused", lambda _: None, lambda: begun.append(time.monotonic()))
        await subscription.start(patience=2.0)
        for _ in range(4):
            time.sleep(0.5)  # noqa: ASYNC251 - the process stands still
            await asyncio.sleep(0.12)
        assert len(begun) == 1
        await subscription.close()


async def test_connection_on_which_no_answer_comes_is_made_anew() -> None:
    """Its server may be gone without a word, and another one in its place."""
    async with mad_server(b"") as url:
        link = RedisLink(url, 0.1)
        await link.start()
        with pytest.raises(QueueUnavailable, match="TimeoutError"):
            await link.execute("PING")
        await when(lambda: not link.lost)
        await link.close()


async def test_server_that_is_the_master_no_longer_is_left(valkey: Valkey) -> None:
    """Its address may lead to the new master by now; only a new connection finds out."""
    async with linked(valkey) as link:
        lost = asyncio.Event()
        link.losses.append(lost.set)
        await link.execute("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(QueueUnavailable, match="ReadOnlyError"):
            await link.execute("SET", "key", "value")
        await lost.wait()


async def test_broken_connection_fails_every_call_that_was_under_way(valkey: Valkey) -> None:
    """Whether the server ran them, nobody knows: nothing is sent twice."""
    async with linked(valkey) as link, Redis.from_url(valkey.url) as redis:
        blocked = asyncio.ensure_future(link.execute("BLPOP", "never", 0))
        behind = asyncio.ensure_future(link.execute("INCR", "count"))
        await when(lambda: link._wire is not None and len(link._wire._waiting) > 1)
        await redis.client_kill_filter(_type="normal", skipme=True)
        for call in (blocked, behind):
            with pytest.raises(QueueUnavailable):
                await call
        await when(lambda: not link.lost)
        assert await link.execute("INCR", "count") == 1


async def test_script_that_the_server_has_forgotten_is_sent_whole(valkey: Valkey) -> None:
    """After a restart no script is known; callers notice nothing."""
    arguments: list[str | float] = ["worker", 1, 1000, 1000, 1000, 10, 0, "", "", "1", ""]
    async with linked(valkey) as link:
        assert await link.run(SWEEP, ["lane", "free", "pace"], arguments) == [1]
        await link.execute("SCRIPT", "FLUSH")
        assert await link.run(SWEEP, ["lane", "free", "pace"], arguments) == [1]
