"""The whole file: its root table, read; and the catalog that it means, judged and compiled.

:func:`read` notes each text that cannot be read, :func:`compile_catalog` each contradiction. Both go on after
a fault, so that one run shows them all. A noun of the file is a module beside this one.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from gateway.core.errors import NoRoute
from gateway.core.messages import Callback
from gateway.declared.app import App, AppTable, check_app, compile_app
from gateway.declared.backend import PYTHON, PYTHON_LANE, Backend, check_backend
from gateway.declared.environment import Environment, digest_of
from gateway.declared.gateway import Gateway, Worker, check_gateway
from gateway.declared.history import HistoryTable, check_history
from gateway.declared.logs import LogChoice, LogTable, check_logs, compile_logs
from gateway.declared.lookup import Lookup, LookupTable, check_lookup, compile_lookup, digest_lookups
from gateway.declared.reading import ConfigFaults, Fault, present, read_struct
from gateway.declared.redis_server import RedisServer, check_embedded, check_redis, find_embedded, fit_timeout
from gateway.declared.route import Route, RouteTable, check_order_of_routes, check_route, compile_route
from gateway.declared.values import Table


class Config(Table, frozen=True, kw_only=True):
    """The root table."""

    gateway: Gateway = Gateway()
    worker: Worker = Worker()
    redis: RedisServer = RedisServer()
    logs: LogTable = LogTable()
    history: HistoryTable = HistoryTable()
    apps: dict[str, AppTable] = {}
    routes: tuple[RouteTable, ...] = ()
    backends: dict[str, Backend] = {}
    lookups: dict[str, LookupTable] = {}


_TABLES: dict[str, type[msgspec.Struct]] = {
    "[gateway]": Gateway,
    "[worker]": Worker,
    "[redis]": RedisServer,
    "[logs]": LogTable,
    "[history]": HistoryTable,
    "[apps.ID]": AppTable,
    "[[routes]]": RouteTable,
    "[backends.NAME]": Backend,
    "[lookups.NAME]": LookupTable,
}
"""The tables, as they are headed in a file: a key that is unknown where it stands may be one of another."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that the configuration declares, ready for use. It can run with its ``warnings``.

    ``digest`` tells one content of the file from another: the first digits of its SHA-256. ``files`` are
    those that secrets were read from, each with the digest of what was read.
    """

    settings: Config
    apps: Mapping[int, App]
    routes: tuple[Route, ...]
    lookups: Mapping[str, Lookup]
    warnings: tuple[Fault, ...] = ()
    digest: str = ""
    files: tuple[tuple[str, str], ...] = ()
    logs: LogChoice = field(default_factory=LogChoice)

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes that lookups use, each once, in the order of the file."""
        return tuple(dict.fromkeys(lookup.lane for lookup in self.lookups.values()))

    @property
    def backends(self) -> dict[str, Backend]:
        """The backends by name: those with a lane, then those that Python lookups alone may ask."""
        return {name: self.backend(name) for name in (*self.lanes, *self.settings.backends)}

    @property
    def askable(self) -> dict[str, Backend]:
        """The backends that Python lookups may ask: those over HTTP."""
        return {name: one for name, one in self.settings.backends.items() if one.speaks == "http"}

    @property
    def unasked(self) -> tuple[str, ...]:
        """The lookups that no route and no session event makes, in the order of the file."""
        made = {lookup.name for route in self.routes for lookup in route.lookups}
        made |= {lookup.name for app in self.apps.values() for lookup in app.prefetch}
        return tuple(name for name in self.lookups if name not in made)

    def backend(self, lane: str) -> Backend:
        """Return the settings by which a lane's backend is asked."""
        declared = self.settings.backends.get(lane)
        return PYTHON if declared is None and lane == PYTHON_LANE else self.settings.backends[lane]

    def lane_digest(self, lane: str) -> str:
        """Return the digest of a lane's lookups, by which its workers are known."""
        return digest_lookups(lookup for lookup in self.lookups.values() if lookup.lane == lane)

    def route(self, callback: Callback) -> Route:
        """Return the first route that matches; raise NoRoute."""
        for route in self.routes:
            if route.matches(callback):
                return route
        msg = "no route matches this callback; see [[routes]] in the configuration"
        raise NoRoute(msg)


def load(path: Path) -> Catalog:
    """Return the catalog of the configuration file; raise ConfigFaults with everything that is wrong."""
    return compile_content(read_content(path))


def read_content(path: Path) -> bytes:
    """Return the content of the configuration file; raise ConfigFaults."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigFaults([Fault("", f"cannot be read: {error}")]) from None


def compile_content(
    content: bytes, *, embedded: bool = False, event_variables: Sequence[str] | None = None
) -> Catalog:
    """Return the catalog of a file's content and this process's environment.

    Raise ConfigFaults with everything that is wrong. ``redis.url = "embedded"`` is a fault, unless
    ``embedded`` says that the caller brings that server or does not need it. ``event_variables`` are those of
    :func:`compile_catalog`.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ConfigFaults([Fault("", f"cannot be read: {error}")]) from None
    environ = Environment()
    config, faults = read(text, environ)
    if not embedded:
        faults += check_embedded(config.redis)
    catalog = compile_catalog(config, faults, event_variables=event_variables)
    return replace(catalog, digest=digest_of(content), files=tuple(environ.files.items()))


def read(text: str, environ: Mapping[str, str]) -> tuple[Config, list[Fault]]:
    """Return what can be read of ``text``, and every fault found; without faults the config is whole."""
    try:
        document = tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is no TOMLDecodeError
        return Config(), [Fault("", f"not TOML: {error}")]
    faults: list[Fault] = []
    config = read_struct(document, Config, "", environ, faults) or Config()
    faults = [fault.elsewhere(_TABLES) for fault in faults]
    return msgspec.structs.replace(config, redis=find_embedded(config.redis, environ)), faults


def compile_catalog(
    settings: Config, faults: list[Fault], *, event_variables: Sequence[str] | None = None
) -> Catalog:
    """Return the catalog of ``settings``; raise ConfigFaults with ``faults`` and every one found here.

    ``event_variables`` are the variables that a session event gives, in the dialect of the callers: a lookup
    that is prefetched may read no other variable. Only a gateway knows them, and judges by them.
    """
    found: list[Fault] = []
    lookups = {
        name: compile_lookup(name, table, present(settings.backends), found)
        for name, table in present(settings.lookups).items()
    }
    found += _contradictions(settings, lookups, event_variables)
    # A value that could not be read is empty or a default now: that it does not fit is no second fault.
    unread = [fault.path for fault in faults if not fault.warning]
    every = [*faults, *(fault for fault in found if not fault.lies_in(unread))]
    if any(not fault.warning for fault in every):
        raise ConfigFaults(every)
    apps = [compile_app(name, table, lookups) for name, table in settings.apps.items()]
    routes = tuple(compile_route(i, table, lookups) for i, table in enumerate(settings.routes))
    waves = max((len(route.waves) for route in routes), default=1)
    redis, cut = fit_timeout(settings.redis, settings.gateway.budget, waves)
    return Catalog(
        settings=msgspec.structs.replace(settings, redis=redis),
        apps={app.id: app for app in apps},
        routes=routes,
        lookups=lookups,
        warnings=(*every, *cut),
        logs=compile_logs(settings.logs, (token for app in apps for token in app.tokens)),
    )


def _contradictions(
    settings: Config, lookups: Mapping[str, Lookup], event_variables: Sequence[str] | None
) -> Iterator[Fault]:
    """Yield the contradictions of every table that could be read."""
    inputs = {name: lookups[name].inputs if name in lookups else () for name in settings.lookups}
    reads = {name: lookup.reads for name, lookup in lookups.items()}
    for table in ("backends", "lookups"):
        if "" in getattr(settings, table):
            yield Fault(table, "a name must not be empty")
    yield from check_gateway(settings.gateway)
    yield from check_redis(settings.redis)
    yield from check_logs(settings.logs, has_key=any(app.token for app in present(settings.apps).values()))
    yield from check_history(settings.history)
    for name, app in settings.apps.items():
        yield from check_app(name, app, inputs, event_variables)
    for name, backend in present(settings.backends).items():
        yield from check_backend(name, backend)
    for name, lookup in present(settings.lookups).items():
        yield from check_lookup(name, lookup, inputs[name], present(settings.backends))
    for number, route in enumerate(settings.routes):
        if route is not None:
            yield from check_route(number, route, settings.apps, settings.lookups, reads)
    yield from check_order_of_routes(settings.routes)
