"""The admin port: supervisors ask it if the process is live and ready, and Prometheus what it has counted."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from gateway.edge.response import Handler, JsonResponse, PageResponse

CONSOLE = "/console"
_PATHS = "/live /ready /metrics"


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
    status: Callable[[], Awaitable[Status]],
    scrape: Callable[[str], Awaitable[Scraped]],
    console: Callable[[], Handler | None] = lambda: None,
) -> Handler:
    """Return the handler of the admin port: ``/live``, ``/ready`` and ``/metrics``.

    ``scrape`` gets the ``Accept`` header. ``console`` returns what answers the paths below ``/console``.
    """

    async def ready() -> web.StreamResponse:
        now = await status()
        word = "draining" if now.draining else "degraded" if now.missing else "ready"
        body = {"status": word, "degraded": now.missing, "version": now.version, "config": now.config}
        return _page(503 if now.draining else 200, body)

    async def metrics(accept: str) -> web.StreamResponse:
        try:
            page = await scrape(accept)
        except OSError as error:  # those of other processes of this address are in files
            return error_page(503, f"what has been counted cannot be written or read: {error.strerror}")
        return PageResponse(body=page.body, headers={"Content-Type": page.content_type})

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        further = console()
        match request.path:
            case "/live":
                return _page(200, {"status": "live"})
            case "/ready":
                return await ready()
            case "/metrics":
                return await metrics(request.headers.get("Accept", ""))
            case path if further is not None and (path == CONSOLE or path.startswith(f"{CONSOLE}/")):
                return await further(request)
        return error_page(404, f"known paths: {_PATHS}{'' if further is None else f' {CONSOLE}/'}")

    return handle


def _page(status: int, body: dict[str, Any]) -> web.Response:
    return JsonResponse(msgspec.json.encode(body), status)
