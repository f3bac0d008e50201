"""A second platform: its dialect is one class, and nothing else of the project has to know."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
from structlog.testing import capture_logs

from gateway.core.errors import BadRequest, Code, UnknownApp
from gateway.core.messages import Callback, Reply, SessionEvent
from gateway.crm.server import Crm
from gateway.declared.app import App
from gateway.front.app import gateway
from gateway.front.dialects.dialect import Dialect
from tests.desk import APP, Place
from workers.main import workers


class Asking(NamedTuple):
    """A query of the other platform whose bot is known."""

    app: App

    def decode(self, body: bytes, path: str) -> Callback | SessionEvent:
        """Return a callback, or an event where the body has a ``happened``."""
        try:
            said = json.loads(body)
            chat, given = said["chat"], said.get("given", {})
        except (ValueError, KeyError):
            msg = "no chat"
            raise BadRequest(msg) from None
        if "happened" in said:
            return SessionEvent(self.app.id, chat, "", said["happened"], {"chat": chat}, (chat,))
        return Callback(self.app.id, chat, "", path, {"chat": chat, **given})


class Other:
    """The words of a platform that there is not."""

    patience = 5.0
    event_variables = ("chat",)

    def verify(self, query: str, apps: Mapping[int, App], now: float) -> Asking:
        """Take the number of the app for who calls."""
        assert now > 0
        bot = query.removeprefix("bot=")
        if not bot.isdecimal() or int(bot) not in apps:
            msg = "no such bot"
            raise UnknownApp(msg)
        return Asking(apps[int(bot)])

    def encode(self, reply: Reply) -> bytes:
        """Return the reply in the platform's words."""
        return json.dumps({"fine": reply.code == 0, "set": dict(reply.variables)}).encode()

    def acknowledge(self) -> bytes:
        """Return what an event gets."""
        return b'{"heard":true}'

    def refuse(self, code: Code, info: str) -> bytes:
        """Return what a bad callback gets."""
        return json.dumps({"fine": False, "wrong": code.name, "why": info}).encode()


OTHER: Dialect = Other()


async def test_second_dialect_answers_callbacks(place: Place, crm: Crm) -> None:
    """Callbacks, events and refusals go over real HTTP in words that no other file knows."""
    catalog = place.catalog()
    async with (
        workers(catalog, catalog.lanes, grace=1),
        gateway(catalog, dialect=OTHER) as running,
        aiohttp.ClientSession(f"http://127.0.0.1:{running.callbacks[1]}") as http,
    ):

        async def send(query: str, **said: object) -> tuple[int, Any]:
            async with http.post(f"/any?{query}", json=said) as response:
                return response.status, await response.json()

        known = f"bot={APP}"
        answered = await send(known, chat="c1", given={"node": "order", "orderId": "7"})
        with capture_logs() as lines:
            event = await send(known, chat="c1", happened="began")
        refused = [await send("bot=7", chat="c1"), await send(known), await send(known, chat="c1")]
    assert answered[0] == 200
    assert answered[1]["fine"] is True
    assert answered[1]["set"]["order_id"] == "7"
    assert event == (200, {"heard": True})
    assert [line["event"] for line in lines if line["event"].startswith("session.")] == ["session.notified"]
    assert [(status, body["wrong"]) for status, body in refused] == [
        (403, "UNKNOWN_APP"),
        (400, "BAD_REQUEST"),
        (200, "NO_ROUTE"),
    ]
    assert crm.stats.report()["total"] == 1


async def test_page_for_bytes_that_are_not_http_is_in_the_dialect(place: Place) -> None:
    """The platform can read even this page."""
    async with gateway(place.catalog(), dialect=OTHER) as running:
        reader, writer = await asyncio.open_connection(*running.callbacks)
        writer.write(b"\x16\x03\x01 TLS?\r\n\r\n")
        _, _, page = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert json.loads(page) == {"fine": False, "wrong": "BAD_REQUEST", "why": "not a valid HTTP request"}
