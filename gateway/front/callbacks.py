"""The callback port: POST on any path. Each answer is the envelope; each callback is one log line."""

import asyncio
import os
import random
import time
from typing import Any

from aiohttp import web

from gateway.core.errors import Code, Refusal, WrongMethod
from gateway.core.messages import Callback, SessionEvent
from gateway.edge.body import read_body
from gateway.edge.connections import connection_of, remote_of
from gateway.edge.response import JsonResponse
from gateway.front.dialects.dialect import Dialect, Verified
from gateway.front.flow import Answered, Flow
from gateway.front.session_events import SessionEvents
from gateway.process.deferred_calls import DeferredCalls
from gateway.telemetry import events
from gateway.telemetry.events import LookupAnswered

_LOOKERS = ("GET", "HEAD")
"""What browsers and checks of balancers send: an answer is enough, and a line for each would be noise."""


class Callbacks:
    """The handler of the callback port: bytes in, the dialect's envelope out, even after a bug of ours."""

    def __init__(self, dialect: Dialect, flow: Flow, events: SessionEvents) -> None:
        """Take the dialect of the platform, the flow for callbacks, and the keeper of session events."""
        self._dialect, self._flow, self._events = dialect, flow, events
        self._settings = flow.catalog.settings.gateway
        self._log = DeferredCalls(_write_line)
        # Seeded here, behind a fork: two processes must not name two jobs alike. Asking the kernel for each
        # callback would cost a tenth of one from memory.
        self._draw = random.Random(os.urandom(32)).getrandbits  # noqa: S311 - a name, not a secret

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Return the response to a request; never raises.

        The query is verified before a byte of the body is read.
        """
        arrival, trace_id = time.monotonic(), f"{self._draw(128):032x}"
        deadline = arrival + self._settings.budget
        message: Callback | SessionEvent | None = None
        try:
            verified, path = self._verify(request)
            connection = connection_of(request)
            connection.trust()
            body = await read_body(request, self._settings.max_body, deadline)
            message = verified.decode(body, path)
            if isinstance(message, SessionEvent):
                self._events.take(message, trace_id)
                return JsonResponse(self._dialect.acknowledge())
            answered = await self._flow.answer(message, deadline, trace_id)
            encoded = self._dialect.encode(answered.reply)
            await asyncio.sleep(0)  # answer all callbacks of a turn, then send all: see DeferredCalls
        except Exception as error:  # noqa: BLE001 - logged
            return self._refuse(error, request, trace_id, message)
        new = connection.requests == 1
        self._log(answered, self._settings.budget, time.monotonic() - arrival, trace_id, new)
        return JsonResponse(encoded)

    def error_page(self, status: int, message: str) -> JsonResponse:
        """Return the response to a request that never became a callback."""
        ours = status >= web.HTTPInternalServerError.status_code
        code = Code.INTERNAL if ours else Code.BAD_REQUEST
        events.callback_refused(code=code, reason=message)
        return JsonResponse(self._dialect.refuse(code, message), status)

    def _verify(self, request: web.BaseRequest) -> tuple[Verified, str]:
        """Return the verified query and the path; raise WrongMethod, or a refusal of the dialect's."""
        if request.method != "POST":
            msg = "callbacks are POSTed"
            raise WrongMethod(msg)
        path, _, query = request.raw_path.partition("?")
        if "%" in path or path[:1] != "/":  # encoded, or in absolute form: rare, and yarl can do it
            path, query = request.path, request.rel_url.raw_query_string
        return self._dialect.verify(query, self._flow.catalog.apps, time.time()), path

    def _refuse(
        self,
        error: Exception,
        request: web.BaseRequest,
        trace_id: str,
        message: Callback | SessionEvent | None,
    ) -> JsonResponse:
        """Log a refusal or a bug of ours, and return its response. The message may have been read before."""
        if not isinstance(error, Refusal):
            events.callback_failed(code=Code.INTERNAL, trace_id=trace_id, error=error)
            return JsonResponse(self._dialect.refuse(Code.INTERNAL, "internal error"), 500)
        page = self._dialect.refuse(error.code, str(error))
        if isinstance(error, WrongMethod):
            if request.method not in _LOOKERS:
                self._tell_refusal(error, request, trace_id)
            return JsonResponse(page, error.status, header="Allow: POST\r\n")
        self._tell_refusal(error, request, trace_id, message)
        return JsonResponse(page, error.status)

    def _tell_refusal(
        self,
        error: Refusal,
        request: web.BaseRequest,
        trace_id: str,
        message: Callback | SessionEvent | None = None,
    ) -> None:
        whose: dict[str, Any] = {}
        if message is not None:
            whose = {"app": message.app, "session": message.session, "user": message.user}
            whose["inputs"] = message.variables
        events.callback_refused(
            code=error.code,
            reason=str(error),
            path=request.path,
            remote=remote_of(request),
            trace_id=trace_id,
            **whose,
        )


def _write_line(answered: Answered, budget: float, took: float, trace_id: str, new: bool) -> None:  # noqa: FBT001
    """Write the canonical line of a callback."""
    callback = answered.callback
    events.callback_answered(
        app=callback.app,
        session=callback.session,
        user=callback.user,
        route=answered.route.name,
        code=answered.reply.code,
        took=took,
        budget=budget,
        lookups=_lookups(answered),
        trace_id=trace_id,
        new_connection=new,
        path=callback.path,
        info=answered.reply.info,
        inputs=callback.variables,
        variables=answered.reply.variables,
    )


def _lookups(answered: Answered) -> dict[str, LookupAnswered]:
    """Return each lookup's part of the line; one whose ``when`` did not hold is ``skipped``."""
    lines = {
        one.lookup: LookupAnswered(
            one.source.value,
            one.age,
            one.took,
            one.code,
            one.input,
            0,
            one.variables,
            one.known,
            one.of_user,
        )
        for one in answered.outcomes
    }
    if len(lines) < len(answered.route.lookups):
        skipped = LookupAnswered("skipped", None, 0.0, Code.OK)
        lines = {lookup.name: lines.get(lookup.name, skipped) for lookup in answered.route.lookups}
    for lookup in answered.route.lookups:
        if lookup.fallback:
            lines[lookup.name] = lines[lookup.name]._replace(fallback=True)
    if len(answered.route.waves) > 1:
        for number, wave in enumerate(answered.route.waves, 1):
            for lookup in wave:
                lines[lookup.name] = lines[lookup.name]._replace(wave=number)
    return lines
