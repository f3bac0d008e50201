"""The console's paths, and what they return. Its files, the login and the logout are for everybody.

Without tokens everybody on this machine may look, and nobody may act: see ``door.py``.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import msgspec
from aiohttp import web

from gateway.console.actions import Actions, CannotAct, Wanted
from gateway.console.callbacks import Filter, Latest
from gateway.console.configuration import as_it_runs
from gateway.console.door import (
    ROOT,
    Door,
    Refused,
    as_json,
    demand_method,
    demand_our_page,
    read_as,
)
from gateway.console.files import GUARDS, serve_file
from gateway.console.overview import Overview
from gateway.console.rights import Right
from gateway.console.sight import Sight
from gateway.console.streams import Message, Streams
from gateway.console.trial import Question, TrialFailed, Trials
from gateway.core.errors import QueueUnavailable, Refusal
from gateway.edge.connections import remote_of
from gateway.edge.response import Handler, PageResponse
from gateway.front.app import Gateway
from gateway.history.reading import read_session
from gateway.process.config_file import ConfigFile
from gateway.process.release import RELEASE
from gateway.telemetry import events
from gateway.telemetry.tally import tally
from gateway.tools.explaining.story import as_dict, tell

MOST_TOLD = 20
"""Callbacks on the page of a session, the latest."""

_API = "api/"


class Page(NamedTuple):
    """A path: its method, the right that it takes, and what answers it."""

    method: str
    right: Right | None
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Console:
    """Answers the paths of the console, for one gateway process. ``pages`` are those behind its door."""

    def __init__(self, gateway: Gateway, file: ConfigFile) -> None:
        """Take the gateway that it shows, and its configuration file."""
        self._gateway, self._file = gateway, file
        self._door = Door(lambda: gateway.service.catalog.settings.gateway.admin_token, lambda: gateway.admin)
        self._sight = Sight(lambda: gateway.service)
        self._overview = Overview(self._sight)
        self._streams = Streams(self._overview, Latest(self._sight))
        self._actions, self.trials = Actions(self._sight), Trials(file.path)
        self.pages = {
            "login": Page("POST", None, self._door.log_in),
            "logout": Page("POST", None, self._door.log_out),
            "me": Page("GET", "read", self._me),
            "overview": Page("GET", "read", self._overview_now),
            "session": Page("POST", "read", self._session),  # its name may be as long as a callback
            "configuration": Page("GET", "read", self._configuration),
            "events/overview": Page("GET", "read", self._overview_events),
            "events/callbacks": Page("GET", "read", self._callback_events),
            "try": Page("POST", "read", self._try),  # and act, if a backend is asked
            **{f"actions/{name}": Page("POST", "act", partial(self._act, name)) for name in self._actions},
        }

    async def close(self) -> None:
        """End trials and streams, and the connection to Redis."""
        self.trials.close()
        await self._streams.close()
        await self._sight.close()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request for a path of the console."""
        try:
            self._door.enter(request)
            return await self._answer(request)
        except Refused as refused:
            return as_json({"error": str(refused)}, refused.status, refused.headers)
        except (CannotAct, TrialFailed) as error:
            return as_json({"error": str(error)}, 409)
        except QueueUnavailable as error:
            return as_json({"error": f"Redis cannot be reached: {error}"}, 503)
        except Refusal as error:  # of a body
            return as_json({"error": str(error)}, error.status)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == ROOT.rstrip("/"):
            return PageResponse(status=308, headers={**GUARDS, "Location": ROOT})
        name = request.path.removeprefix(ROOT)
        page = self.pages.get(name.removeprefix(_API)) if name.startswith(_API) else None
        if page is not None:
            demand_method(request, page.method)
            if page.right is not None:
                self._door.demand(request, page.right)
            if page.method == "POST":
                demand_our_page(request)
            return await page.answer(request)
        if (file := serve_file(request, name or "index.html")) is None:
            raise Refused(404, "there is no such page")
        demand_method(request, "GET", "HEAD")
        return file

    async def _me(self, request: web.BaseRequest) -> web.StreamResponse:
        catalog = self._gateway.service.catalog
        lookups = {
            name: {"backend": lookup.lane, "reads": list(lookup.reads), "sets": list(lookup.variables)}
            for name, lookup in catalog.lookups.items()
        }
        me = {
            "right": self._door.right_of(request),
            "tokens": self._door.tokens is not None,
            "release": RELEASE,
            "history": catalog.settings.history.level,
            "lookups": lookups,
        }
        return as_json(me)

    async def _overview_now(self, _: web.BaseRequest) -> web.StreamResponse:
        return as_json(await self._overview.look())

    async def _session(self, request: web.BaseRequest) -> web.StreamResponse:
        service, wanted = self._gateway.service, await read_as(request, Wanted)
        if not wanted.session:
            raise Refused(400, "name a session")
        apps = list(service.catalog.apps) if wanted.app is None else [wanted.app]
        entries = await read_session(await self._sight.link(), service.keys, apps, wanted.session)
        lookups = service.catalog.lookups

        def told() -> bytes:
            newest_first = reversed(tell(entries, lookups)[-MOST_TOLD:])
            return msgspec.json.encode({"callbacks": [as_dict(one) for one in newest_first]})

        return as_json(await asyncio.to_thread(told))

    async def _configuration(self, _: web.BaseRequest) -> web.StreamResponse:
        catalog = self._gateway.service.catalog
        shown = {
            "file": str(self._file.path),
            "digest": catalog.digest,
            "since": tally.reloaded_at,
            "refused": self._file.refused,
            "warnings": [str(warning) for warning in catalog.warnings],
            "tables": as_it_runs(self._file.content, catalog.settings),
        }
        return as_json(shown)

    async def _overview_events(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._send(request, self._streams.overview())

    async def _callback_events(self, request: web.BaseRequest) -> web.StreamResponse:
        query = request.query
        code, lookup, session = (query.get(name, "") for name in ("code", "lookup", "session"))
        try:
            slow_ms = float(query.get("slow") or 0)
        except ValueError:
            raise Refused(400, "slow: a number of ms") from None
        wanted = Filter(code, lookup, session, slow_ms, bad=bool(query.get("bad")))
        return await self._send(request, self._streams.callbacks(wanted))

    async def _send(
        self, request: web.BaseRequest, messages: AsyncGenerator[Message, None]
    ) -> web.StreamResponse:
        if self._streams.full:
            raise Refused(503, "too many pages of the console watch this gateway; close one")
        return await self._streams.send(request, messages, lambda: self._door.right_of(request) is not None)

    async def _try(self, request: web.BaseRequest) -> web.StreamResponse:
        question = await read_as(request, Question)
        if question.asks:
            self._door.demand(request, "act")
            events.console_acted(action="try", about=question.lookup, remote=remote_of(request))
        return as_json(await self.trials.run(question))

    async def _act(self, action: str, request: web.BaseRequest) -> web.StreamResponse:
        done = await self._actions.act(action, await read_as(request, Wanted), remote_of(request))
        self._overview.forget()
        return as_json({"done": done})


@asynccontextmanager
async def console(gateway: Gateway, file: ConfigFile) -> AsyncIterator[Handler]:
    """Have a console for the length of the block: its handler answers the paths below ``/console``."""
    made = Console(gateway, file)
    try:
        yield made.answer
    finally:
        await made.close()
