"""Backends for tests: an HTTP backend with one lookup, and servers that are worse than the CRM."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from gateway.core.errors import NoAnswer
from gateway.declared.catalog import compile_catalog, read
from gateway.lookup import Ask
from gateway.lookups.http import HttpBackend

Variables = dict[str, str]
Asking = Callable[..., Awaitable[Variables]]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

ORDER = """
request = { path = "/orders/{id}" }
variables = { id = "id", status = "status", total = "total.amount" }
required = ["status"]
"""
ANY = 'request = { path = "/" }\nvariables = { v = "v" }\n'


@asynccontextmanager
async def backend(url: str, lookup: str = ANY, declared: str = "") -> AsyncIterator[Asking]:
    """Yield what asks the backend at ``url`` the lookup ``order``, or the one named; inputs by name.

    Connections do not rest, unless ``declared`` says so.
    """
    if "idle_before_reuse" not in declared:
        declared += '\nidle_before_reuse = "0s"'
    text = f'[backends.crm]\nurl = "{url}"\n{declared}\n[lookups.order]\nbackend = "crm"\n{lookup}'
    catalog = compile_catalog(*read(text, {}))
    http = HttpBackend(catalog.settings.backends["crm"])

    async def ask(name: str = "order", /, **inputs: str) -> Variables:
        finding = await http.ask(catalog.lookups[name], Ask(name, inputs, 1, "s1", "t1", 1.0))
        return finding.variables

    try:
        yield ask
    finally:
        await http.close()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Yield the URL of an HTTP server that answers by ``handler``."""
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sending(data: bytes) -> AsyncIterator[str]:
    """Yield the URL of a server that reads any request, sends these bytes, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # a client may turn away at any point
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answering(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    """Return a handler that always answers the same."""

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handle


def counting(most: int) -> Handler:
    """Return a handler that answers each request with order 1, 2 and so on, and 500 after ``most``."""
    numbers = iter(range(1, most + 1))

    async def handle(_: web.BaseRequest) -> web.Response:
        number = next(numbers, None)
        return web.Response(status=500) if number is None else web.json_response({"id": str(number)})

    return handle


def only(kind: str, more: str = "") -> str:
    """Return a script that gives every call the same fate."""
    return f"[[rules]]\nshares = {{ {kind} = 1 }}\n{more}"


async def failure(ask: Awaitable[Variables]) -> NoAnswer:
    """Return the NoAnswer of a call that has to fail; its text shows no address and no reply."""
    with pytest.raises(NoAnswer) as caught:
        await ask
    assert "127.0.0.1" not in str(caught.value)
    assert "scripted" not in str(caught.value)
    assert "<html>" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value
