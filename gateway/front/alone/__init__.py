"""Everything of ``redis_lost = "direct"``: a gateway that asks the backends itself while Redis is lost.

``front/app.py`` uses it in one line. Without that line and this folder, every app is answered from records.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.declared.catalog import Catalog
from gateway.forgetting.forget import Forgetter
from gateway.front.alone.asker import AloneAsker
from gateway.front.alone.fleet_else_alone import FleetElseAlone
from gateway.front.alone.restorer import Restorer
from gateway.front.askers import Asker, FleetAsker
from gateway.lookups.build import open_backend
from gateway.records.memory import RecordMemory
from gateway.resilience.board import Board
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink


@asynccontextmanager
async def direct_askers(  # noqa: PLR0913, PLR0917 - the parts of a gateway that it stands on
    catalog: Catalog,
    fleet: FleetAsker,
    link: RedisLink,
    keys: Keys,
    memory: RecordMemory,
    forgetter: Forgetter,
    board: Board,
) -> AsyncIterator[Mapping[int, Asker]]:
    """Yield an asker for each app with ``redis_lost = "direct"``; nothing is opened where no app has it.

    Raise ImportError for a Python lookup that cannot be imported.
    """
    apps = [number for number, app in catalog.apps.items() if app.redis_lost == "direct"]
    if not apps:
        yield {}
        return
    async with AsyncExitStack() as stack:
        backends = {}
        for lane in catalog.lanes:
            backends[lane] = open_backend(catalog, lane, board, bulkhead=True)
            stack.push_async_callback(backends[lane].close)
            await backends[lane].start()
        restorer = Restorer(link, keys, memory, forgetter, catalog.settings.gateway.local_records)
        stack.push_async_callback(restorer.close)
        alone = AloneAsker(backends, restorer)
        stack.push_async_callback(alone.close)
        either = FleetElseAlone(fleet, alone, link)
        stack.push_async_callback(either.close)
        yield dict.fromkeys(apps, either)
