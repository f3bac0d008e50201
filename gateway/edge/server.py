"""The callback port: POST on any path, every answer the envelope, every callback one log line."""

import asyncio
import os
import time
from collections.abc import Mapping
from typing import TypeVar

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from gateway.core.catalog import App
from gateway.core.errors import BadRequest, Code, Refusal, TooLarge, WrongMethod
from gateway.core.messages import Callback, SessionEvent
from gateway.edge import desk
from gateway.edge.http import Handler, json_response
from gateway.events import Events
from gateway.flow import Answered, Flow

B = TypeVar("B", bytes, bytearray)
log = structlog.get_logger("deskgate.edge")

_CODES = {404: Code.BAD_REQUEST, 405: Code.WRONG_METHOD, 413: Code.TOO_LARGE}


def error_page(status: int, message: str) -> web.StreamResponse:
    """Return the envelope for what never became a callback."""
    code = (
        Code.INTERNAL
        if status >= web.HTTPInternalServerError.status_code
        else _CODES.get(status, Code.BAD_REQUEST)
    )
    log.warning("callback.refused", code=int(code), reason=message)
    return json_response(desk.encode_refusal(code, message), status)


def callback_handler(flow: Flow, events: Events) -> Handler:
    """Return the handler of the callback port: bytes in, the envelope out, whatever happens."""
    settings = flow.catalog.settings.gateway
    budget = float(settings.budget)
    logger = log.bind()  # what a lazy logger finds out at each call is found out once

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        arrival = time.monotonic()
        trace_id = os.urandom(8).hex()
        try:
            callback = await _receive(request, flow.catalog.apps, settings.max_body, arrival + budget)
            if isinstance(callback, SessionEvent):
                events.take(callback, trace_id)
                return json_response(desk.NOTED)
            answered = await flow.answer(callback, arrival + budget, trace_id)
        except Refusal as refusal:
            log.warning(
                "callback.refused",
                code=int(refusal.code),
                reason=str(refusal),
                path=request.path,
                remote=request.remote,
                trace_id=trace_id,
            )
            return json_response(desk.encode_refusal(refusal.code, str(refusal)), refusal.status)
        except Exception:
            log.exception("callback.failed", code=int(Code.INTERNAL), trace_id=trace_id)
            return json_response(desk.encode_refusal(Code.INTERNAL, "internal error"), 500)
        response = json_response(desk.encode(answered.reply))
        _log(logger, answered, budget, time.monotonic() - arrival, trace_id)
        return response

    return handle


async def _receive(
    request: web.BaseRequest, apps: Mapping[int, App], limit: int, deadline: float
) -> Callback | SessionEvent:
    """Return what a request holds; nothing of a body is read before its query is verified."""
    if request.method != "POST":
        msg = "callbacks are POSTed"
        raise WrongMethod(msg)
    path, _, query = request.raw_path.partition("?")
    if "%" in path or path[:1] != "/":  # encoded, or in absolute form: seldom, and yarl's business
        path, query = request.path, request.rel_url.raw_query_string
    verified = desk.verify(query, apps, time.time())
    content = request.content
    if content.is_eof() and "Expect" not in request.headers:  # it came with its head, as nearly all do
        body = _within(content.read_nowait(), limit)
    else:
        body = await _read(request, limit, deadline)
    return desk.decode(body, verified, path)


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


def _log(logger: FilteringBoundLogger, answered: Answered, budget: float, took: float, trace_id: str) -> None:
    """Write the canonical line of a callback. Names only: no variable's value is ever logged."""
    callback = answered.callback
    logger.info(
        "callback.answered",
        app=callback.app,
        session=callback.session,
        user=callback.user,
        route=answered.route.name,
        code=int(answered.reply.code),
        took_ms=round(took * 1000, 2),
        budget_ms=round(budget * 1000),
        lookups={
            outcome.lookup: {
                "source": outcome.source.value,
                "age_ms": None if outcome.age is None else round(outcome.age * 1000),
                "took_ms": round(outcome.took * 1000, 2),
                "code": int(outcome.code),
            }
            for outcome in answered.outcomes
        },
        trace_id=trace_id,
    )
