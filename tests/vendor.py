"""A vendor's API as many are: a token endpoint, and a resource that wants the token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.asking import serving


class Vendor:
    """Gives out tokens ``T1``, ``T2``, …, of which the last one alone is good.

    ``grants`` has each request for a token: its headers, its form or JSON, its query. ``calls`` has the
    ``Authorization`` of each call of the resource. ``reply`` is the token endpoint's next reply, if it is not
    to give a token; ``gate`` holds its replies back while it is cleared.
    """

    def __init__(self, expires_in: object = 3600) -> None:
        """Begin without a token."""
        self.expires_in = expires_in
        self.grants: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.good = ""
        self.reply: tuple[int, object, dict[str, str]] | None = None
        self.refuses_all = False
        self.gate = asyncio.Event()
        self.gate.set()

    def kill_token(self) -> None:
        """Let the token that was given out last be good no more."""
        self.good = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        text = await request.text()
        if request.path == "/token":
            self.grants.append({"headers": dict(request.headers), "body": text, "query": dict(request.query)})
            await self.gate.wait()
            if self.reply is not None:
                status, body, headers = self.reply
                return web.json_response(body, status=status, headers=headers)
            self.good = f"T{len(self.grants)}"
            body = {"access_token": self.good, "token_type": "Bearer", "expires_in": self.expires_in}
            return web.json_response(body)
        shown = request.headers.get("Authorization", "") or request.query.get("access_token", "")
        self.calls.append(shown)
        if self.refuses_all or not self.good or not shown.endswith(self.good):
            return web.json_response({"error": "invalid_token"}, status=401)
        return web.json_response({"v": self.good})


@asynccontextmanager
async def vendor(expires_in: object = 3600) -> AsyncIterator[tuple[Vendor, str]]:
    """Run a vendor; yield it and its URL."""
    one = Vendor(expires_in)
    async with serving(one.handle) as url:
        yield one, url
