"""The callback port: POST on any path, every answer the envelope, every callback one log line."""

import asyncio
import os
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from aiohttp import web

from gateway.core.errors import BadRequest, Code, Refusal, TooLarge, WrongMethod
from gateway.core.messages import Callback, SessionEvent
from gateway.declared.app import App
from gateway.front.dialects import desk
from gateway.front.edge.response import JsonResponse
from gateway.front.flow import Answered, Flow
from gateway.front.session_events import SessionEvents
from gateway.process.later import Later
from gateway.telemetry import events
from gateway.telemetry.events import LookupAnswered

B = TypeVar("B", bytes, bytearray)

_CODES = {404: Code.BAD_REQUEST, 405: Code.WRONG_METHOD, 413: Code.TOO_LARGE}


def error_page(status: int, message: str) -> JsonResponse:
    """Return the envelope for what never became a callback."""
    code = (
        Code.INTERNAL
        if status >= web.HTTPInternalServerError.status_code
        else _CODES.get(status, Code.BAD_REQUEST)
    )
    events.callback_refused(code=code, reason=message)
    return JsonResponse(desk.encode_refusal(code, message), status)


class Callbacks:
    """The handler of the callback port: bytes in, the envelope out, whatever happens."""

    def __init__(self, flow: Flow, events: SessionEvents) -> None:
        """Take what answers callbacks, and what notes session events."""
        self._flow, self._events = flow, events
        self._settings = flow.catalog.settings.gateway
        self._tell_later = Later(_tell)

    def __call__(self, request: web.BaseRequest) -> JsonResponse | Coroutine[Any, Any, JsonResponse]:
        """Return the response, or what to await for it. Neither raises.

        Nothing of a body is read before its query is verified.
        """
        arrival, trace_id = time.monotonic(), os.urandom(8).hex()
        try:
            verified, path = _verify(request, self._flow.catalog.apps)
            if (
                request.content.is_eof() and "Expect" not in request.headers
            ):  # it came whole, as nearly all do
                body = _within(request.content.read_nowait(), self._settings.max_body)
                answered = self._take(desk.decode(body, verified, path), arrival, trace_id)
            else:
                answered = self._receive(request, verified, path, arrival, trace_id)
            if answered is None or isinstance(answered, Answered):
                return self._respond(answered, arrival, trace_id)
        except Exception as error:  # noqa: BLE001 - logged
            return _failed(error, request, trace_id)
        return self._respond_later(answered, request, arrival, trace_id)

    def _take(
        self, callback: Callback | SessionEvent, arrival: float, trace_id: str
    ) -> "Answered | Coroutine[Any, Any, Answered | None] | None":
        """Return how a callback is answered, or what to await for that; None for an event, which is noted."""
        if isinstance(callback, SessionEvent):
            self._events.take(callback, trace_id)
            return None
        return self._flow.answer(callback, arrival + self._settings.budget, trace_id)

    async def _receive(
        self, request: web.BaseRequest, verified: desk.Verified, path: str, arrival: float, trace_id: str
    ) -> Answered | None:
        """Read a body that is still on its way, and return how it is answered."""
        body = await _read(request, self._settings.max_body, arrival + self._settings.budget)
        answered = self._take(desk.decode(body, verified, path), arrival, trace_id)
        return answered if answered is None or isinstance(answered, Answered) else await answered

    async def _respond_later(
        self,
        answering: Coroutine[Any, Any, Answered | None],
        request: web.BaseRequest,
        arrival: float,
        trace_id: str,
    ) -> JsonResponse:
        try:
            return self._respond(await answering, arrival, trace_id)
        except Exception as error:  # noqa: BLE001 - logged
            return _failed(error, request, trace_id)

    def _respond(self, answered: Answered | None, arrival: float, trace_id: str) -> JsonResponse:
        if answered is None:
            return JsonResponse(desk.NOTED)
        response = JsonResponse(desk.encode(answered.reply))
        self._tell_later(answered, self._settings.budget, time.monotonic() - arrival, trace_id)
        return response


def _failed(error: Exception, request: web.BaseRequest, trace_id: str) -> JsonResponse:
    """Return the envelope for what a request must not be, or for a fault of ours; log either."""
    if not isinstance(error, Refusal):
        events.callback_failed(code=Code.INTERNAL, trace_id=trace_id, error=error)
        return JsonResponse(desk.encode_refusal(Code.INTERNAL, "internal error"), 500)
    events.callback_refused(
        code=error.code,
        reason=str(error),
        path=request.path,
        remote=request.remote,
        trace_id=trace_id,
    )
    return JsonResponse(desk.encode_refusal(error.code, str(error)), error.status)


def _verify(request: web.BaseRequest, apps: Mapping[int, App]) -> tuple[desk.Verified, str]:
    """Return who calls, on which path; raise WrongMethod, or what :func:`desk.verify` does."""
    if request.method != "POST":
        msg = "callbacks are POSTed"
        raise WrongMethod(msg)
    path, _, query = request.raw_path.partition("?")
    if "%" in path or path[:1] != "/":  # encoded, or in absolute form: seldom, and yarl's business
        path, query = request.path, request.rel_url.raw_query_string
    return desk.verify(query, apps, time.time()), path


async def _read(request: web.BaseRequest, limit: int, deadline: float) -> bytes:
    """Return the body; raise TooLarge as soon as it is, BadRequest when it does not come in time."""
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # an interim response (RFC 9110, 15.2) is not the response
    body = bytearray()
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            while chunk := await request.content.readany():
                body += chunk
                _within(body, limit)
    except TimeoutError:
        msg = "the body did not arrive within the budget"
        raise BadRequest(msg) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        msg = f"the body broke off: {type(error).__name__}"
        raise BadRequest(msg) from None
    return bytes(body)


def _within(body: B, limit: int) -> B:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is over max_body ({limit} bytes)")


def _tell(answered: Answered, budget: float, took: float, trace_id: str) -> None:
    """Tell that a callback has been answered."""
    callback = answered.callback
    events.callback_answered(
        app=callback.app,
        session=callback.session,
        user=callback.user,
        route=answered.route.name,
        code=answered.reply.code,
        took=took,
        budget=budget,
        lookups={
            one.lookup: LookupAnswered(one.source.value, one.age, one.took, one.code)
            for one in answered.outcomes
        },
        trace_id=trace_id,
    )
