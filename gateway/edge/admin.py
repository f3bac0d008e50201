"""The admin port: supervisors ask it if the process is live and ready. The callback port has none of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from gateway.edge.response import Handler, JsonResponse


def error_page(status: int, message: str) -> web.Response:
    """Return an error of the admin port, as JSON."""
    return JsonResponse(msgspec.json.encode({"error": message}), status)


@dataclass(frozen=True, slots=True)
class Status:
    """What a gateway process is: whether it drains, what it lacks, and what it runs.

    ``config`` is the digest of its configuration.
    """

    draining: bool
    missing: Sequence[str]
    version: str
    config: str


def admin_handler(status: Callable[[], Awaitable[Status]]) -> Handler:
    """Return the handler of the admin port: ``/live`` and ``/ready``."""

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path == "/live":
            return _page(200, {"status": "live"})
        if request.path == "/ready":
            now = await status()
            word = "draining" if now.draining else "degraded" if now.missing else "ready"
            body = {"status": word, "degraded": now.missing, "version": now.version, "config": now.config}
            return _page(503 if now.draining else 200, body)
        return error_page(404, "known paths: /live /ready")

    return handle


def _page(status: int, body: dict[str, Any]) -> web.Response:
    return JsonResponse(msgspec.json.encode(body), status)
