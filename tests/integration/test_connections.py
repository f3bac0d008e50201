"""A connection to the callback port: its answers come in order, even for a client that misbehaves."""

import asyncio
import json
import random
import socket
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from email.message import Message
from email.parser import BytesParser
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.edge.port import FIRST_REQUEST
from gateway.front.app import gateway
from tests.desk import APP, Place, when
from workers.main import workers

SLOW = 'seed = 1\n[[rules]]\nlatency = { fixed = "30ms" }\nshares = { ok = 1 }\n'


def request(app: int = APP, headers: str = "", **variables: str) -> bytes:
    """Return a callback of one session as it goes over the wire."""
    body = {"SystemSessionID": "s1", "SystemClientUserID": "user517", **variables}
    data = json.dumps({"CallbackCommand": "Chatbot.InterfaceInvocation", "Body": body}).encode()
    head = f"POST /?SdkAppid={app} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def reply(reader: asyncio.StreamReader) -> tuple[int, Message, Mapping[str, Any]]:
    """Read one response: its status, its headers and the envelope."""
    status, _, fields = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
    headers = BytesParser().parsebytes(fields)
    return (
        int(status.split()[1]),
        headers,
        json.loads(await reader.readexactly(int(headers["Content-Length"]))),
    )


@pytest.mark.parametrize("seed", range(6))
async def test_answers_come_in_the_order_of_their_requests(seed: int, place: Place, crm: Crm) -> None:
    """Requests are cut at random places. Some are answered from memory, some wait, some are refused."""
    draw = random.Random(seed)
    orders = [str(draw.randrange(8)) for _ in range(24)]
    wire = b"".join(
        request(node="order", orderId=order) if order != "0" else request(app=7) for order in orders
    )
    cuts = sorted(draw.sample(range(1, len(wire)), 40))
    crm.put(SLOW)
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
            writer.write(wire[begin:end])
            for _ in range(draw.choice((0, 1, 5, 50))):
                await asyncio.sleep(0)  # lets the gateway have this much by itself
        heard = [await reply(reader) for _ in orders]
        writer.close()
        await writer.wait_closed()
    received = [envelope["Body"]["order_id"] if status == 200 else "0" for status, _, envelope in heard]
    assert received == orders


async def test_request_that_comes_while_another_waits_gets_its_turn(place: Place, crm: Crm) -> None:
    """An answer that is known at once must not overtake one that has to be asked for."""
    crm.put(SLOW)
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        with capture_logs() as lines:
            writer.write(request(node="order", orderId="1"))
            await when(lambda: crm.stats.report()["total"] == 1)
            writer.write(request(app=7))
            first, second = await reply(reader), await reply(reader)
            writer.write(request(node="order", orderId="1"))
            third = await reply(reader)
        writer.close()
        await writer.wait_closed()
    assert [first[0], second[0], third[0]] == [200, 403, 200]
    assert first[2] == third[2]
    ours = [line["event"] for line in lines if line["event"].startswith("callback.")]
    assert ours == ["callback.answered", "callback.refused", "callback.answered"]


async def test_gateway_that_stops_answers_what_it_has_in_hand(place: Place, crm: Crm) -> None:
    """A deployment must not lose the callbacks of the last moment, nor wait longer than they take."""
    crm.put(SLOW)
    catalog = place.catalog(budget="1m")
    async with workers(catalog, catalog.lanes, grace=1):
        async with asyncio.timeout(20), gateway(catalog) as running:
            reader, writer = await asyncio.open_connection(*running.callbacks)
            writer.write(request(node="order", orderId="1"))
            await when(lambda: crm.stats.report()["total"] == 1)
        status, _, envelope = await reply(reader)
        assert (status, envelope["ErrorCode"]) == (200, Code.OK)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_client_that_hangs_up_takes_nothing_with_it(place: Place, crm: Crm) -> None:
    """Its callback is still answered and logged, and the record serves the next one."""
    crm.put(SLOW)
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        with capture_logs() as lines:
            _, writer = await asyncio.open_connection(*running.callbacks)
            writer.write(request(node="order", orderId="1"))
            await when(lambda: crm.stats.report()["total"] == 1)
            writer.transport.abort()
            await when(lambda: any(line["event"] == "callback.answered" for line in lines))
            reader, writer = await asyncio.open_connection(*running.callbacks)
            writer.write(request(node="order", orderId="1"))
            _, _, envelope = await reply(reader)
            writer.close()
            await writer.wait_closed()
    assert envelope["Body"]["order_id"] == "1"
    assert crm.stats.report()["total"] == 1
    assert {line["log_level"] for line in lines} == {"info"}


@pytest.mark.parametrize("at_a_time", [1, 100])
async def test_client_that_reads_nothing_is_not_read_from_for_ever(at_a_time: int, place: Place) -> None:
    """Otherwise its answers would fill the gateway's memory."""
    most = 100_000
    async with gateway(place.catalog()) as running:
        with socket.socket() as client, capture_logs() as lines:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(0)
            await asyncio.get_running_loop().sock_connect(client, running.callbacks)
            client.send(request(app=7))
            await when(lambda: lines)
            refused = memoryview(request(app=7) * at_a_time)
            rest, seen, idle = refused, 0, 0
            while len(lines) < most and idle < 200:
                idle = 0 if len(lines) > seen else idle + 1
                seen = len(lines)
                with suppress(BlockingIOError):
                    rest = rest[client.send(rest) :] or refused
                await asyncio.sleep(0)
    assert len(lines) < most


@pytest.mark.parametrize("part", [0, 30])
async def test_client_that_was_let_in_is_heard_out_when_the_port_closes(place: Place, part: int) -> None:
    """Its request is on its way: a client far away knows of the end a round trip later."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(gateway(place.catalog()))
        reader, writer = await asyncio.open_connection(*running.callbacks)
        await when(lambda: running.connections)
        whole = request(app=7)
        writer.write(whole[:part])
        ending = asyncio.create_task(stack.pop_all().aclose())
        await asyncio.sleep(0.1)
        writer.write(whole[part:])
        assert (await reply(reader))[2]["ErrorCode"] == Code.UNKNOWN_APP
        assert await reader.read() == b""
        await ending
        writer.close()


@pytest.mark.parametrize("asks", [False, True])
async def test_client_that_says_nothing_holds_no_port_up(place: Place, asks: bool) -> None:  # noqa: FBT001
    """Neither one that has never sent a request, nor one that waits between two."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(gateway(place.catalog()))
        reader, writer = await asyncio.open_connection(*running.callbacks)
        if asks:
            writer.write(request(app=7))
            await reply(reader)
        begun = time.monotonic()
        await stack.pop_all().aclose()
        assert await reader.read() == b""
        writer.close()
    assert time.monotonic() - begun < (FIRST_REQUEST if asks else FIRST_REQUEST + 1)
