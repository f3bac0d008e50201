"""The admin port: supervisors ask it if the process is live and ready. The callback port has none of it."""

from typing import Any

import msgspec
from aiohttp import web

from gateway.front.edge.response import Handler, JsonResponse
from gateway.front.readiness import Readiness


def error_page(status: int, message: str) -> web.Response:
    """Return an error of the admin port, as JSON."""
    return JsonResponse(msgspec.json.encode({"error": message}), status)


def admin_handler(readiness: Readiness) -> Handler:
    """Return the handler of the admin port: ``/live`` and ``/ready``."""

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path == "/live":
            return _status(200, {"status": "live"})
        if request.path == "/ready":
            missing = await readiness.missing()
            return _status(200, {"status": "degraded" if missing else "ready", "degraded": missing})
        return error_page(404, "known paths: /live /ready")

    return handle


def _status(status: int, body: dict[str, Any]) -> web.Response:
    return JsonResponse(msgspec.json.encode(body), status)
