"""Receiving callbacks: the part that both other contestants share. They trust every caller."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Answer = Callable[[dict[str, str]], Awaitable[tuple[dict[str, str], bool]]]
"""From a callback's variables to the reply's, and whether all went well."""

FAILED = 120001


async def serve(answer: Answer, port: int) -> None:
    """Serve until killed."""

    async def handle(request: web.Request) -> web.Response:
        variables = (await request.json())["Body"]
        return web.json_response(_envelope(*await answer(variables)))

    application = web.Application()
    application.router.add_post("/desk", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


def _envelope(variables: Mapping[str, str], good: bool) -> dict[str, object]:  # noqa: FBT001 - a pair
    if good:
        return {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0, "Body": variables}
    return {"ActionStatus": "FAIL", "ErrorInfo": "CRM", "ErrorCode": FAILED, "Body": variables}
