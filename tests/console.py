"""The console of a gateway in this process, and those who use it: with a token, with a cookie, without."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from gateway.console.pages import Console
from gateway.declared.catalog import Catalog, compile_catalog, read
from gateway.declared.environment import digest_of
from gateway.fleet.reloading import ReloadWishes
from gateway.front.app import Gateway, gateway
from gateway.process.config_file import ConfigFile
from tests.desk import Place

READ, ACT = "token-to-read-with", "token-to-act-with-1"
TOKENS = {"read": READ, "act": ["token-to-act-with-2", ACT]}


@dataclass(slots=True)
class Answered:
    """What came back: status, headers, and the body's value."""

    status: int
    headers: Mapping[str, str]
    value: Any


@dataclass(slots=True)
class Visitor:
    """Somebody who uses the console at ``url``, each time with these headers."""

    http: aiohttp.ClientSession
    url: str
    headers: Mapping[str, str]

    def with_token(self, token: str) -> "Visitor":
        """Return a program that shows a token."""
        return Visitor(self.http, self.url, {"Authorization": f"Bearer {token}"})

    def with_cookie(self, cookie: str, **headers: str) -> "Visitor":
        """Return a browser that has a cookie, on the console's own page unless ``headers`` say otherwise."""
        return Visitor(self.http, self.url, {"Cookie": cookie, "Origin": self.url, **headers})

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Send a request; a ``body`` goes as JSON."""
        given = {**self.headers, **(headers or {})}
        if body is not None:
            data, given = json.dumps(body).encode(), {"Content-Type": "application/json", **given}
        url = f"{self.url}{path}"
        async with self.http.request(
            method, url, data=None if data is None else io.BytesIO(data), headers=given, allow_redirects=False
        ) as response:
            text = await response.read()
            is_json = text and response.content_type == "application/json"
            return Answered(response.status, response.headers, json.loads(text) if is_json else text)

    async def get(self, page: str) -> Any:  # noqa: ANN401 - any page's value
        """Return what a page of the console says."""
        answered = await self.ask("GET", f"/console/api/{page}")
        assert answered.status == 200, answered.value
        return answered.value

    async def post(self, page: str, body: object = None) -> Answered:
        """Send JSON to a page of the console."""
        return await self.ask("POST", f"/console/api/{page}", {} if body is None else body)

    async def log_in(self, token: str) -> "Visitor":
        """Return a browser that has logged in."""
        answered = await self.ask(
            "POST", "/console/api/login", {"token": token}, headers={"Origin": self.url}
        )
        assert answered.status == 200, answered.value
        return self.with_cookie(answered.headers["Set-Cookie"].partition(";")[0])

    @asynccontextmanager
    async def events(self, page: str) -> AsyncIterator[AsyncIterator[Any]]:
        """Yield the data of a stream's events, as they come."""
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"{self.url}/console/api/events/{page}"
        async with self.http.get(url, headers=self.headers, timeout=timeout) as response:
            assert response.status == 200, await response.read()
            assert response.content_type == "text/event-stream"
            yield _events(response)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    async for line in response.content:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


@dataclass(slots=True)
class Opened:
    """A gateway with its console. ``visitor`` has no right yet."""

    gateway: Gateway
    console: Console
    file: ConfigFile
    visitor: Visitor

    @property
    def reader(self) -> Visitor:
        """A program that may look."""
        return self.visitor.with_token(READ)

    @property
    def actor(self) -> Visitor:
        """A program that may act."""
        return self.visitor.with_token(ACT)


def config_file(place: Place, path: Path, text: str) -> ConfigFile:
    """Return a configuration that is written to ``path``, and read there."""
    path.write_text(text, encoding="utf-8")

    def compiled(content: bytes) -> Catalog:
        return replace(compile_catalog(*read(content.decode(), place.environ)), digest=digest_of(content))

    return ConfigFile(path, compiled)


@asynccontextmanager
async def opened(
    place: Place, path: Path, changes: Mapping[str, object] | None = None, /, **knobs: str
) -> AsyncIterator[Opened]:
    """Run a gateway with its console on the test configuration, which is written to ``path``."""
    with_tokens = {"gateway.admin_token": TOKENS, **(changes or {})}
    given = {name: value for name, value in with_tokens.items() if value is not None}
    file = config_file(place, path, place.config(given, **knobs))
    wishes = ReloadWishes(lambda: None)
    async with (
        gateway(file.catalog, wishes=wishes) as running,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        file.on_change(running.reload)
        console = Console(running, file)
        running.console = console.answer
        host, port = running.admin
        host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared
        try:
            yield Opened(running, console, file, Visitor(http, f"http://{host}:{port}", {}))
        finally:
            await console.close()
