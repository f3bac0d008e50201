"""Composition root: a gateway process, built from its catalog and run until it is told to stop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.declared.catalog import Catalog
from gateway.declared.config import Address
from gateway.forgetting.forget import Forgetter
from gateway.front.alone.direct import Direct
from gateway.front.alone.keep import Keep
from gateway.front.edge import admin
from gateway.front.edge import callbacks as server
from gateway.front.edge.port import Port
from gateway.front.flow import Flow
from gateway.front.session_events import SessionEvents
from gateway.process.garbage import settle
from gateway.queue.hand_off import HandOff
from gateway.records.memory import RecordMemory
from gateway.telemetry import events
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: where it takes callbacks, and where it tells how it is."""

    callbacks: Address
    admin: Address
    flow: Flow


@asynccontextmanager
async def gateway(catalog: Catalog, *, shared: bool = False) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of the block; it starts without Redis, too.

    Raise OSError for a port that is taken, ImportError for a Python lookup that it would have to make itself.
    """
    settings = catalog.settings
    link = RedisLink(settings.redis.url, settings.redis.timeout)
    keys = Keys(settings.redis.prefix)
    sessions = RecordMemory(settings.gateway.local_records, settings.gateway.local_bytes)
    hand_off = HandOff(link, keys, sessions)
    forget = Forgetter(link, keys, sessions)
    direct = None
    if any(app.redis_lost == "direct" for app in catalog.apps.values()):
        keep = Keep(link, keys, sessions, forget, settings.gateway.local_records)
        direct = Direct(catalog, link, keep)
    flow = Flow(catalog, hand_off, direct)
    session_events = SessionEvents(flow, hand_off, forget)
    callbacks = Port(
        server.Callbacks(flow, session_events),
        server.error_page,
        settings.gateway.listen,
        tls=settings.gateway.tls,
        grace=settings.gateway.budget + 1,
        shared=shared,
    )
    admin_port = Port(admin.admin_handler(flow), admin.error_page, settings.gateway.admin, shared=shared)
    await link.start()
    await hand_off.replies.start(patience=settings.redis.timeout)
    await forget.start(patience=settings.redis.timeout)
    try:
        async with admin_port, callbacks:
            events.gateway_started(listen=_text(callbacks.address), admin=_text(admin_port.address))
            yield Gateway(callbacks.address, admin_port.address, flow)
    finally:
        await session_events.close(settings.gateway.budget)
        await flow.close()
        await forget.close()
        await hand_off.replies.close()
        await link.close()


async def run(catalog: Catalog, *, shared: bool = False) -> None:
    """Run a gateway until SIGTERM or SIGINT, then finish the callbacks in hand."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with gateway(catalog, shared=shared):
        settle()
        await stop.wait()
    events.gateway_drained()


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
