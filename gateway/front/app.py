"""Composition root: a gateway process. Its two ports, the service behind them, and its life by signals."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from aiohttp import web

from gateway.declared.catalog import Catalog
from gateway.declared.gateway import Gateway as Settings
from gateway.declared.reading import ConfigFaults, Fault
from gateway.declared.values import Address
from gateway.edge.admin import Scraped, Status, admin_handler, error_page
from gateway.edge.certificate import Certificate
from gateway.edge.connections import Connection
from gateway.edge.listener import Limits
from gateway.edge.port import Port
from gateway.edge.response import Handler
from gateway.fleet.reloading import ReloadWishes
from gateway.front.dialects import DIALECT
from gateway.front.dialects.dialect import Dialect
from gateway.front.gauges import gauges_of
from gateway.front.service import Service, service
from gateway.front.session_events import FORGET_FOR
from gateway.process.background import Background
from gateway.process.config_file import ConfigFile
from gateway.process.descriptors import raise_limit
from gateway.process.following import Followed, follow
from gateway.process.garbage import tune_collector
from gateway.process.log_choice import choose_lines
from gateway.process.metrics import Metrics
from gateway.process.release import RELEASE
from gateway.process.signals import Signals
from gateway.process.supervisor import Sockets, Supervisor
from gateway.process.vital import raise_if_failed
from gateway.records.memory import RecordMemory
from gateway.telemetry import events
from gateway.telemetry.tally import tally

MOST_CONNECTIONS = 10_000
"""Connections of a port if the limit on open files allows more, and no setting says how many."""

MOST_OF_ADMIN = 32
"""Connections of the admin port."""

FILES_KEPT = 64
"""Files that are kept back for other things than connections, at least; else a quarter of all."""


OpenConsole = Callable[["Gateway", ConfigFile], AbstractAsyncContextManager[Handler]]
"""Opens the console of a gateway; the handler answers its paths."""


class Gateway:
    """A running gateway. ``service`` is all that stands behind its ports; :meth:`reload` replaces it."""

    def __init__(
        self, catalog: Catalog, dialect: Dialect, sockets: Sockets, wishes: ReloadWishes | None
    ) -> None:
        """Take its configuration, the dialect of its callers, and the sockets that it need not open.

        ``wishes`` hears the fleet's wishes for a reload. ``console`` answers the paths of the console.
        """
        settings = catalog.settings.gateway
        self._dialect = dialect
        self._memory = RecordMemory(settings.local_records, settings.local_bytes)
        self._parts = AsyncExitStack()
        self._retired = Background()
        self._wishes = wishes
        self._draining = False
        self.console: Handler | None = None
        self.metrics = Metrics()
        self.certificate = Certificate(settings.tls) if settings.tls is not None else None
        limits = _limits(settings)
        self._admin = Port(
            admin_handler(self._status, self._scrape, lambda: self.console),
            error_page,
            settings.admin,
            limits=_for_admin(limits),
            handed=sockets.admin,
        )
        self._callbacks = Port(
            self._answer,
            self._refuse,
            settings.listen,
            limits=limits,
            handed=sockets.callbacks,
            tls=self.certificate.context if self.certificate is not None else None,
            grace=settings.budget + 1,
        )
        self.service: Service

    @property
    def callbacks(self) -> Address:
        """The address of the callback port."""
        return self._callbacks.address

    @property
    def connections(self) -> Sequence[Connection]:
        """The open connections of the callback port."""
        return self._callbacks.connections

    @property
    def admin(self) -> Address:
        """The address of the admin port."""
        return self._admin.address

    async def start(self, catalog: Catalog, stack: AsyncExitStack) -> None:
        """Start all parts, their ends registered in ``stack``. Raise OSError, or ImportError."""
        stack.push_async_callback(self._retired.close)
        stack.push_async_callback(self._close_service)
        self.service = await self._parts.enter_async_context(service(catalog, self._memory, self._dialect))
        await stack.enter_async_context(self._admin)
        await stack.enter_async_context(self._callbacks)
        tally.connections = self._callbacks.count
        tally.redis_up = self._redis_up
        self._watch(catalog)

    async def reload(self, catalog: Catalog) -> None:
        """Answer all callbacks from now on by another catalog. Those in hand go on by the one before.

        Raise ConfigFaults for a change that needs a new process, and ImportError for a Python lookup that
        cannot be imported: then all stays as it was.
        """
        _check_reloadable(self.service.catalog, catalog)
        settings = catalog.settings.gateway
        async with AsyncExitStack() as stack:
            new = await stack.enter_async_context(service(catalog, self._memory, self._dialect))
            parts = stack.pop_all()
        self._memory.resize(settings.local_records, settings.local_bytes)
        self._callbacks.limit(_limits(settings))
        self._admin.limit(_for_admin(_limits(settings)))
        if self.certificate is not None and settings.tls is not None:
            self.certificate.tls = settings.tls
        self._retired.start(_retire(self._parts))
        self.service, self._parts = new, parts
        self._watch(catalog)

    async def drain(self, signals: Signals) -> None:
        """Take callbacks for ``drain`` seconds more, and close each connection behind its answer.

        Supervisors and balancers see at ``/ready`` that they must send callbacks elsewhere. If another
        process has the ports already, no connection is taken any more. A signal to hurry ends the wait.
        """
        self._draining = True
        seconds = self.service.catalog.settings.gateway.drain
        events.gateway_draining(seconds=0 if signals.hurry.is_set() else seconds)
        if signals.replaced.is_set():
            self._callbacks.take_no_more()
            self._admin.take_no_more()
        try:
            async with asyncio.timeout(seconds):
                await signals.hurry.wait()
        except TimeoutError:
            return

    def _watch(self, catalog: Catalog) -> None:
        choose_lines(catalog.logs)
        if self._wishes is not None:
            self._wishes.listen(self.service.board)
        asked = catalog.lanes if any(app.redis_lost == "direct" for app in catalog.apps.values()) else ()
        tally.expect(catalog.apps, catalog.lookups, asked)

    def _answer(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        answer = self.service.callbacks(request)
        return _answer_last(answer) if self._draining else answer

    def _refuse(self, status: int, message: str) -> web.StreamResponse:
        return self.service.callbacks.error_page(status, message)

    async def _status(self) -> Status:
        missing = await self.service.readiness.missing()
        return Status(self._draining, missing, RELEASE, self.service.catalog.digest)

    async def _scrape(self, accept: str) -> Scraped:
        gauges = await gauges_of(self.service)
        return Scraped(*await self.metrics.page(gauges, accept))

    def _redis_up(self) -> bool:
        return self.service.link.present.is_set()

    async def _close_service(self) -> None:
        await self._parts.aclose()


@asynccontextmanager
async def gateway(
    catalog: Catalog,
    *,
    dialect: Dialect = DIALECT,
    sockets: Sockets | None = None,
    wishes: ReloadWishes | None = None,
) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of the block. It starts without Redis, too.

    ``dialect`` is the platform that calls. ``sockets`` are those that a supervisor has handed over.

    Raise OSError for a port that is taken or a certificate that cannot be used, and ImportError for a Python
    lookup that cannot be imported.
    """
    async with AsyncExitStack() as stack:
        running = Gateway(catalog, dialect, sockets or Sockets(), wishes)
        await running.start(catalog, stack)
        yield running


async def run(file: ConfigFile, console: OpenConsole) -> None:
    """Run a gateway and its console until a signal to stop; drain it. Raise what :func:`gateway` raises."""
    signals, supervisor = Signals(), Supervisor()
    async with AsyncExitStack() as stack:
        wishes = ReloadWishes(signals.reload.set)
        starting = stack.enter_async_context(gateway(file.catalog, sockets=Sockets(), wishes=wishes))
        running = await signals.unless_stopped(starting)
        if running is None:
            raise_if_failed()
            return
        running.console = await stack.enter_async_context(console(running, file))
        siblings = running.metrics.siblings
        tune_collector()
        events.gateway_started(
            listen=_text(running.callbacks),
            admin=_text(running.admin),
            pid=os.getpid(),
            version=RELEASE,
            config=file.catalog.digest,
        )
        file.on_change(running.reload)
        files: list[Followed] = [file]
        if running.certificate is not None:
            files.append(running.certificate)
        work = Background()
        stack.push_async_callback(work.close)
        work.start(follow(files, signals.reload))
        work.start(supervisor.ping())
        work.start(siblings.keep_written())
        supervisor.ready()
        await signals.stop.wait()
        supervisor.stopping()
        await running.drain(signals)
    events.gateway_drained()
    with suppress(OSError):
        await siblings.write()
    raise_if_failed()


async def _answer_last(answer: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Return the response, the last one on its connection."""
    response = await answer
    response.force_close()
    return response


async def _retire(parts: AsyncExitStack) -> None:
    """Close a service that takes nothing new, when all that it has in hand is done."""
    try:
        await asyncio.sleep(FORGET_FOR)  # nothing takes longer: a callback has its budget
    finally:
        await parts.aclose()


def _check_reloadable(old: Catalog, new: Catalog) -> None:
    """Raise ConfigFaults if ``new`` needs a new process."""
    before, after = old.settings.gateway, new.settings.gateway
    changed = {
        "gateway.listen": before.listen != after.listen,
        "gateway.admin": before.admin != after.admin,
        "gateway.tls": (before.tls is None) != (after.tls is None),
    }
    faults = [
        Fault(name, "a running gateway keeps its ports; restart it for this change")
        for name, differs in changed.items()
        if differs
    ]
    if faults:
        raise ConfigFaults(faults)


def _limits(settings: Settings) -> Limits:
    """Return the limits of the callback port. Some files are kept back for Redis, backends and the rest."""
    allowed = raise_limit()
    most = settings.max_connections or min(MOST_CONNECTIONS, allowed - max(FILES_KEPT, allowed // 4))
    return Limits(settings.header_timeout, settings.idle_timeout, max(1, most))


def _for_admin(limits: Limits) -> Limits:
    """Return the limits of the admin port, which a few supervisors ask."""
    return limits._replace(most=min(limits.most, MOST_OF_ADMIN))


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
