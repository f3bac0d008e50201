"""`deskgate call` from a shell: a script reads its exit code, a person its output."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.crm.server import Crm
from gateway.front.app import gateway
from tests.desk import Place
from tests.processes import Process
from workers.main import workers

pytestmark = pytest.mark.timeout(60)

Address = tuple[str, int]
SESSION = ("--session", "s1", "--user", "user517")


async def call(address: Address | str, *arguments: str, app: int = 1400000001) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    url = address if isinstance(address, str) else f"http://{address[0]}:{address[1]}/"
    command = ("-m", "gateway", "call", url, "--app", str(app), *SESSION, *arguments)
    async with Process(*command, environ={"DESK_TOKEN": ""}) as process:
        code = await process._process.wait()
        await process._reader
    return code, "".join(line.get("text") or json.dumps(line) for line in process.lines)


@asynccontextmanager
async def server(said: Sequence[bytes]) -> AsyncIterator[Address]:
    """Listen, answer each connection with the same bytes and close it; with none, never answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in said:
            writer.write(piece)
            await writer.drain()
        if not said:
            await reader.read()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()


async def test_live_answer_is_shown_and_exits_0(place: Place) -> None:
    """The first thing that somebody tries on a configuration of their own."""
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        code, shown = await call(running.callbacks, "--set", "node=order", "--set", "orderId=a=b")
    assert code == 0, shown
    assert "0 OK" in shown
    assert "a=b" in shown, "the value of a variable may have an equals sign"


async def test_another_code_exits_3(place: Place, crm: Crm) -> None:
    """A script can distinguish a good reply, a degraded one, and a missing one."""
    crm.put("[[rules]]\nshares = { error = 1 }\n")
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as running:
        code, shown = await call(running.callbacks, "--set", "node=order", "--set", "orderId=9")
        assert (code, "120002 BACKEND_UNAVAILABLE" in shown) == (3, True), shown
        assert "order: BACKEND_UNAVAILABLE, fallback" in shown
        assert "unknown" in shown


async def test_json_is_the_reply_alone(place: Place) -> None:
    """`deskgate call --json … | jq` must work, refusals included."""
    async with gateway(place.catalog()) as running:
        code, shown = await call(running.callbacks, "--json", "--set", "node=nowhere")
    assert code == 3
    assert json.loads(shown)["ErrorCode"] == 120103


@pytest.mark.parametrize(("token", "name"), [("xxxxyyyy", "NO_ROUTE"), ("wrong", "UNAUTHENTICATED")])
async def test_token_signs(token: str, name: str, place: Place) -> None:
    """An app that demands signatures lets the right token in and no other."""
    async with gateway(place.catalog()) as running:
        code, shown = await call(running.callbacks, "--token", token, "--set", "node=nowhere", app=1400000003)
    assert code == 3
    assert name in shown


async def test_nobody_there_exits_1_and_says_what_to_do() -> None:
    """The gateway is not started, or the port is another one."""
    async with server([]) as gone:
        pass
    code, shown = await call(gone)
    assert (code, shown.count("\n")) == (1, 1)
    assert "Connection refused" in shown
    assert "start a gateway there" in shown


async def test_silence_is_given_up_after_as_long_as_desk_would() -> None:
    """A callback that takes longer than 2 s has failed, even with a good reply."""
    async with server([]) as silent:
        code, shown = await call(silent)
    assert (code, shown.count("\n")) == (1, 1)
    assert "no reply within 2 s" in shown


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n<p>No</p>"], "HTTP 404 and no reply"),
        ([HEAD % 2, b"{}"], "missing required field `ActionStatus`"),
        (
            [HEAD % 74, b'{"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "Body": {"a": 10}}'],
            "Expected `str`",
        ),
        ([HEAD % 100, b"{"], "broke off"),
        ([b"220 mail ESMTP\r\n"], "broke off"),
        ([b""], "broke off"),
        ([HEAD % 2_000_000, b" " * 2_000_000], "over 1048576 bytes"),
    ],
)
async def test_what_is_no_reply_exits_1(said: list[bytes], reason: str) -> None:
    """A wrong port or proxy is said in one line, not in a traceback."""
    async with server(said) as strange:
        code, shown = await call(strange)
    assert (code, shown.count("\n")) == (1, 1), shown
    assert reason in shown


async def test_admin_port_is_told_from_the_callback_port(place: Place) -> None:
    """They are neighbours, and easily mixed up."""
    async with gateway(place.catalog()) as running:
        code, shown = await call(running.admin)
    assert code == 1
    assert "not its admin port" in shown


@pytest.mark.parametrize("wrong", ["staticKey", "=value"])
async def test_variable_without_a_name_or_value_is_a_usage_error(wrong: str) -> None:
    """It would be sent as something that nobody meant."""
    code, shown = await call("http://127.0.0.1:1/", "--set", wrong)
    assert code == 2
    assert "--set takes NAME=VALUE" in shown
