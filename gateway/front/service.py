"""Composition root: all parts of a gateway behind its ports, made from one catalog."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.declared.catalog import Catalog
from gateway.fleet.board import FleetBoard
from gateway.forgetting.forget import Forgetter
from gateway.front.alone import direct_askers
from gateway.front.askers import Asker, FleetAsker
from gateway.front.callbacks import Callbacks
from gateway.front.dialects.dialect import Dialect
from gateway.front.flow import Flow
from gateway.front.readiness import Readiness
from gateway.front.session_events import SessionEvents
from gateway.history.recorder import recorder
from gateway.queue.hand_off import HandOff
from gateway.queue.refresh import Refreshes
from gateway.records.memory import RecordMemory
from gateway.resilience.shut import ShutBackends
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink


@dataclass(frozen=True, slots=True)
class Service:
    """The running parts, and what they were made from. The port of callbacks calls ``callbacks``."""

    catalog: Catalog
    callbacks: Callbacks
    readiness: Readiness
    shut: ShutBackends
    keys: Keys
    link: RedisLink
    memory: RecordMemory
    refreshes: Refreshes
    flow: Flow
    askers: Mapping[int, Asker]
    board: FleetBoard


@asynccontextmanager
async def service(catalog: Catalog, memory: RecordMemory, dialect: Dialect) -> AsyncIterator[Service]:
    """Run the parts for the length of the block. They start without Redis, too.

    Its lines are in the order in which the parts start. The parts stop in the opposite order. The end of each
    part is registered before the part starts, so that a failed or cancelled start leaves nothing behind.

    ``memory`` has the records of this process. It outlives the service, so that a new configuration knows
    them. Raise ImportError for a Python lookup that cannot be imported.
    """
    settings, patience = catalog.settings, catalog.settings.redis.timeout
    async with AsyncExitStack() as stack:
        redis, keys = settings.redis, Keys(settings.redis.prefix)
        link = RedisLink(redis.url, redis.timeout, redis.connect_timeout, keys)
        stack.push_async_callback(link.close)
        await link.start()

        board = FleetBoard(link, keys)
        stack.push_async_callback(board.close)
        await board.start(patience)
        shut = ShutBackends(board, catalog.backends)

        hand_off = HandOff(link, keys, memory, shut.why, catalog.digest)
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
            direct_askers(catalog, fleet, link, keys, memory, forgetter, board)
        )

        await stack.enter_async_context(recorder.recording(catalog, link, keys))

        flow = Flow(catalog, memory.get, askers, mark=lambda: memory.erasures)
        session_events = SessionEvents(catalog, memory.get, fleet, forgetter, lambda: memory.erasures)
        stack.push_async_callback(session_events.close, settings.gateway.budget)
        readiness = Readiness(catalog.lanes, hand_off.unattended, link.probe)
        callbacks = Callbacks(dialect, flow, session_events)
        yield Service(catalog, callbacks, readiness, shut, keys, link, memory, refreshes, flow, askers, board)
