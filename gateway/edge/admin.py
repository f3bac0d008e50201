"""The admin port: supervisors ask it if the process is live and ready, and Prometheus what it has counted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from gateway.edge.response import Handler, JsonResponse


def error_page(status: int, message: str) -> web.Response:
    """Return an error of the admin port, as JSON."""
    return JsonResponse(msgspec.json.encode({"error": message}), status)


@dataclass(frozen=True, slots=True)
class Status:
    """What a process is: whether it drains, what it lacks, and what it runs.

    ``config`` is the digest of its configuration.
    """

    draining: bool
    missing: Sequence[str]
    version: str
    config: str


class Scraped(NamedTuple):
    """What a scrape gets."""

    content_type: str
    body: bytes


def admin_handler(
    status: Callable[[], Awaitable[Status]], scrape: Callable[[str], Awaitable[Scraped]]
) -> Handler:
    """Return the handler of the admin port: ``/live``, ``/ready`` and ``/metrics``.

    ``scrape`` gets the ``Accept`` header.
    """

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path == "/live":
            return _page(200, {"status": "live"})
        if request.path == "/ready":
            now = await status()
            word = "draining" if now.draining else "degraded" if now.missing else "ready"
            body = {"status": word, "degraded": now.missing, "version": now.version, "config": now.config}
            return _page(503 if now.draining else 200, body)
        if request.path == "/metrics":
            try:
                page = await scrape(request.headers.get("Accept", ""))
            except OSError as error:  # those of other processes of this address are in files
                return error_page(503, f"what has been counted cannot be written or read: {error.strerror}")
            return web.Response(body=page.body, headers={"Content-Type": page.content_type})
        return error_page(404, "known paths: /live /ready /metrics")

    return handle


def _page(status: int, body: dict[str, Any]) -> web.Response:
    return JsonResponse(msgspec.json.encode(body), status)
