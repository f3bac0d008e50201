"""A gateway that was held up (a paused machine, a starved container) takes nobody's silence from that."""

import asyncio
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from types import SimpleNamespace

import pytest
from aiohttp import web
from redis.asyncio import Redis
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.front.app import gateway
from gateway.records.memory import decode_record
from gateway.tools.processes import Valkey
from tests.asking import serving
from tests.desk import Desk, Place, when
from tests.integration.test_door import answer, request
from tests.processes import GatewayProcess, WorkerProcess

IDLE = 1.0
ROUNDS = 3

Kept = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ATTEMPT = 1.0
AT_ONCE = 15
"""Callbacks: enough for a circuit breaker to open, if all of their attempts fail."""


async def test_request_that_came_while_the_process_stood_is_answered(place: Place, tmp_path: Path) -> None:
    """A connection is idle when nothing has come, not when nothing has been read."""
    config = tmp_path / "deskgate.toml"
    config.write_text(
        place.config({"gateway.idle_timeout": f"{IDLE}s", "gateway.header_timeout": f"{IDLE}s"}, budget="1s")
    )
    async with GatewayProcess(config, place) as running:
        address = await running.address()

        async def call() -> Kept:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request())
            assert (await answer(reader))[0] == 200
            return reader, writer

        async def call_again(kept: Kept, rest: bytes) -> None:
            kept[1].write(rest)
            assert (await answer(kept[0]))[0] == 200
            kept[1].close()

        for _ in range(ROUNDS):
            kept = await asyncio.gather(*(call() for _ in range(20)))
            running.signal(SIGSTOP)
            for number, (_, writer) in enumerate(kept):
                os.write(writer.get_extra_info("socket").fileno(), request()[: 20 if number % 2 else None])
            await asyncio.sleep(IDLE * 1.5)  # for which nothing is heard
            running.signal(SIGCONT)
            again = (call_again(one, request()[20:] * (number % 2)) for number, one in enumerate(kept))
            await asyncio.gather(*again)


@pytest.mark.parametrize("moment", range(3))
async def test_no_moment_of_a_pause_makes_a_request_silence(
    place: Place, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Not even the one right before the look at who is idle, when all sockets have just been read."""
    paused = False
    waits = 0

    async def sleep(seconds: float) -> None:
        nonlocal paused, waits
        await asyncio.sleep(seconds)
        waits += armed
        if armed and not paused and waits > moment:
            paused = True
            client.send(request())
            time.sleep(IDLE * 2)  # noqa: ASYNC251 - the process is held up

    armed = False
    monkeypatch.setattr("gateway.edge.listener.asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    settings = {"gateway.idle_timeout": f"{IDLE}s", "gateway.header_timeout": f"{IDLE}s"}
    async with gateway(place.catalog(settings)) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as client:
            writer.write(request())
            assert (await answer(reader))[0] == 200
            armed = True
            assert (await answer(reader))[0] == 200
        assert paused
        writer.close()


async def test_newcomers_drive_out_nobody_whose_request_has_come(place: Place, tmp_path: Path) -> None:
    """All places are kept, and each request lies in its socket, behind the newcomers."""
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config({"gateway.max_connections": 20}))
    async with GatewayProcess(config, place) as running:
        address = await running.address()
        kept = [await asyncio.open_connection(*address) for _ in range(20)]
        for reader, writer in kept:
            writer.write(request())
            assert (await answer(reader))[0] == 200
        running.signal(SIGSTOP)
        await asyncio.sleep(IDLE)  # none of them is new
        new = [await asyncio.open_connection(*address) for _ in range(5)]
        for _, writer in (*new, *kept):
            os.write(writer.get_extra_info("socket").fileno(), request())
        running.signal(SIGCONT)
        for reader, writer in (*new, *kept):
            assert (await answer(reader))[0] == 200
            writer.close()


@pytest.mark.parametrize(("sent", "status"), [(request(), 200), (request()[:-5], 400)])
async def test_last_request_is_answered_however_late_its_turn(
    place: Place, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: int
) -> None:
    """Its client sends no more, and the time for more is over before the turn of what was read."""
    monkeypatch.setattr("gateway.edge.connections.HALF_CLOSED", 0.0)
    async with gateway(place.catalog()) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        await when(lambda: bool(running.connections))
        with capture_logs() as lines:
            running.connections[0].data_received(sent)  # both in one turn of the loop, as after a pause
            running.connections[0].eof_received()
            assert (await answer(reader))[0] == status
        assert {line["event"] for line in lines} == {"callback.refused"}  # no bug
        writer.close()


async def test_answers_that_came_while_a_worker_stood_are_heard(
    place: Place, desk: Desk, tmp_path: Path
) -> None:
    """The backend has answered in time: its callbacks get their answers, and its circuit stays closed.

    An answer may have come long before it was heard. It does not count as younger than its question.
    """
    asked, release = 0, asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked += 1
        await release.wait()
        return web.json_response({"id": request.path.rpartition("/")[2], "total": {"amount": 1}})

    config = tmp_path / "deskgate.toml"
    changes = {"backends.crm.attempts": 1}
    config.write_text(place.config(changes, budget="8s", attempt_timeout=f"{ATTEMPT}s"))
    async with serving(handle) as url:
        here = replace(place, crm_url=url)
        async with GatewayProcess(config, here) as running, WorkerProcess(config, here) as worker:
            called = desk.at(await running.address())
            calls = [
                asyncio.create_task(called.call(session=f"s{n}", node="order", orderId=f"o{n}"))
                for n in range(AT_ONCE)
            ]
            await when(lambda: asked == AT_ONCE)
            stopped = time.time()
            worker.signal(SIGSTOP)
            release.set()
            await asyncio.sleep(ATTEMPT * 2)
            worker.signal(SIGCONT)
            heard = await asyncio.gather(*calls)
            assert [one.code for one in heard] == [Code.OK] * AT_ONCE
            assert [one.variables["order_id"] for one in heard] == [f"o{n}" for n in range(AT_ONCE)]
            assert not worker.events("breaker.opened")
            async with Redis.from_url(place.redis_url) as redis:
                names = [key async for key in redis.scan_iter(f"{place.prefix}:record:*")]
                kept = [decode_record(data) for data in await redis.mget(names)]
            assert len(kept) == AT_ONCE
            assert all(one is not None and one.written_ms / 1000 < stopped + ATTEMPT for one in kept)


async def test_redis_that_answered_while_a_gateway_stood_is_not_lost(
    valkey: Valkey, desk: Desk, tmp_path: Path
) -> None:
    """The answer lies in the socket: the callback must not be told that there is no Redis."""
    config = tmp_path / "deskgate.toml"
    place = Place(valkey.url, "stall", "http://127.0.0.1:1")
    config.write_text(place.config(budget="9s", redis_timeout="1500ms"))
    async with GatewayProcess(config, place) as running:
        called = desk.at(await running.address())
        assert (await called.call(node="order", orderId="1")).code == Code.NO_WORKERS
        valkey.signal(SIGSTOP)
        asking = asyncio.create_task(called.call(node="order", orderId="2"))
        await asyncio.sleep(0.2)  # its command is under way
        running.signal(SIGSTOP)
        await asyncio.sleep(0.2)  # it stands
        valkey.signal(SIGCONT)
        await asyncio.sleep(2.5)
        running.signal(SIGCONT)
        assert (await asking).code == Code.NO_WORKERS
        assert not running.events("redis.lost")


async def test_client_that_left_before_the_turn_of_its_request_is_no_bug(place: Place) -> None:
    """Its body will never be whole, and nobody else tells its reader."""
    async with gateway(place.catalog()) as running:
        _, writer = await asyncio.open_connection(*running.callbacks)
        await when(lambda: bool(running.connections))
        with capture_logs() as lines:
            connection = running.connections[0]
            connection.data_received(request()[:-5])
            connection.loop.call_soon(connection.force_close)  # behind the wake of its task
            await when(lambda: bool(lines))
        assert [line["event"] for line in lines] == ["callback.refused"]
        writer.close()
