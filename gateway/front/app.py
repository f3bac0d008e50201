"""Composition root: a gateway process, built from its catalog and run until SIGTERM."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.declared.catalog import Catalog
from gateway.declared.values import Address
from gateway.forgetting.forget import Forgetter
from gateway.front.alone import direct_askers
from gateway.front.askers import Asker, FleetAsker
from gateway.front.dialects import DIALECT
from gateway.front.dialects.dialect import Dialect
from gateway.front.edge import admin
from gateway.front.edge.callbacks import Callbacks
from gateway.front.edge.port import Port
from gateway.front.flow import Flow
from gateway.front.readiness import Readiness
from gateway.front.session_events import SessionEvents
from gateway.process.garbage import tune_collector
from gateway.queue.hand_off import HandOff
from gateway.queue.refresh import Refreshes
from gateway.records.memory import RecordMemory
from gateway.telemetry import events
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: the addresses of its two ports, and its parts."""

    callbacks: Address
    admin: Address
    readiness: Readiness
    link: RedisLink
    memory: RecordMemory
    refreshes: Refreshes
    flow: Flow
    askers: Mapping[int, Asker]


@asynccontextmanager
async def gateway(
    catalog: Catalog, *, shared: bool = False, dialect: Dialect = DIALECT
) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of the block. It starts without Redis, too.

    Its lines are in the order in which the parts start. The parts stop in the opposite order. The end of each
    part is registered before the part starts, so that a failed or cancelled start leaves nothing behind.

    ``dialect`` is the platform that calls.

    Raise OSError for a port that is taken, and ImportError for a Python lookup that cannot be imported.
    """
    settings, patience = catalog.settings, catalog.settings.redis.timeout
    async with AsyncExitStack() as stack:
        link = RedisLink(settings.redis.url, settings.redis.timeout)
        keys = Keys(settings.redis.prefix)
        stack.push_async_callback(link.close)
        await link.start()

        memory = RecordMemory(settings.gateway.local_records, settings.gateway.local_bytes)
        hand_off = HandOff(link, keys, memory)
        stack.push_async_callback(hand_off.replies.close)
        await hand_off.replies.start(patience)

        forgetter = Forgetter(link, keys, memory)
        stack.push_async_callback(forgetter.close)
        await forgetter.start(patience)

        refreshes = Refreshes(hand_off, settings.gateway.budget)
        stack.push_async_callback(refreshes.close)
        fleet = FleetAsker(hand_off, refreshes)
        askers: dict[int, Asker] = dict.fromkeys(catalog.apps, fleet)
        askers |= await stack.enter_async_context(
            direct_askers(catalog, fleet, link, keys, memory, forgetter)
        )

        flow = Flow(catalog, memory.get, askers)
        session_events = SessionEvents(catalog, memory.get, fleet, forgetter)
        stack.push_async_callback(session_events.close, settings.gateway.budget)

        readiness = Readiness(catalog.lanes, hand_off.unattended)
        admin_port = Port(
            admin.admin_handler(readiness), admin.error_page, settings.gateway.admin, shared=shared
        )
        await stack.enter_async_context(admin_port)
        handler = Callbacks(dialect, flow, session_events)
        callback_port = Port(
            handler,
            handler.error_page,
            settings.gateway.listen,
            tls=settings.gateway.tls,
            grace=settings.gateway.budget + 1,
            shared=shared,
        )
        await stack.enter_async_context(callback_port)
        events.gateway_started(listen=_text(callback_port.address), admin=_text(admin_port.address))
        yield Gateway(
            callback_port.address, admin_port.address, readiness, link, memory, refreshes, flow, askers
        )


async def run(catalog: Catalog, *, shared: bool = False) -> None:
    """Run a gateway until SIGTERM or SIGINT, then finish the callbacks in hand."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with gateway(catalog, shared=shared):
        tune_collector()
        await stop.wait()
    events.gateway_drained()


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
