"""The table ``[[routes]]``, its contradictions, and the :class:`Route` that it means."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.core.messages import Callback
from gateway.declared.app import AppTable
from gateway.declared.lookup import Lookup, LookupTable
from gateway.declared.reading import Fault
from gateway.declared.values import Table
from gateway.declared.waves import find_cycle, in_waves, needs_of
from gateway.declared.when import holds, implies
from gateway.declared.wording import known, unknown


class RouteTable(Table, frozen=True, kw_only=True):
    """Which callbacks make which lookups."""

    lookups: tuple[str, ...]
    app: int | None = None
    path: str | None = None
    when: dict[str, str] = {}


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """Which callbacks make which lookups, compiled; ``name`` is its place in the file, ``routes[0]``.

    ``lookups`` are in the order in which their codes count, ``waves`` in that in which they are made. The
    reply leaves the ``internal`` variables out.
    """

    name: str
    app: int | None
    path: str | None
    when: Mapping[str, str]
    lookups: tuple[Lookup, ...]
    waves: tuple[tuple[Lookup, ...], ...]
    internal: frozenset[str]

    def __repr__(self) -> str:
        """Return the place alone: the conditions may come from the environment."""
        return f"Route({self.name})"

    def matches(self, callback: Callback) -> bool:
        """True if it is the callback's app and path, and every condition holds."""
        if self.app is not None and self.app != callback.app:
            return False
        if self.path is not None and self.path != callback.path:
            return False
        return holds(self.when, callback.variables)


def check_route(
    number: int,
    route: RouteTable,
    apps: Mapping[str, AppTable | None],
    lookups: Mapping[str, LookupTable | None],
    reads: Mapping[str, Sequence[str]],
) -> Iterator[Fault]:
    """Yield the contradictions of the table; an app or a lookup that could not be read is None.

    ``reads`` has the variables that each lookup reads.
    """
    path = f"routes[{number}]"
    if route.app is not None and str(route.app) not in apps:
        yield Fault(f"{path}.app", f"{route.app} is not an app{known(apps)}")
    if route.path is not None and not route.path.startswith("/"):
        yield Fault(f"{path}.path", "must begin with '/'")
    setters: dict[str, str] = {}
    for i, name in enumerate(route.lookups):
        place = f"{path}.lookups[{i}]"
        if name not in lookups:
            yield Fault(place, unknown(name, "a lookup", lookups))
        if name in route.lookups[:i]:
            yield Fault(place, f"{name!r} stands here twice")
            continue
        lookup = lookups.get(name)
        for variable in lookup.variables if lookup else ():
            other = setters.setdefault(variable, name)
            if other != name:
                yield Fault(place, f"{name!r} and {other!r} both set the variable {variable!r}")
    sets = {name: tuple(lookup.variables) for name, lookup in lookups.items() if lookup}
    if cycle := find_cycle(route.lookups, needs_of(route.lookups, reads, sets)):
        yield Fault(f"{path}.lookups", f"these need one another's variables: {' → '.join(cycle)}")
    concerned = apps if route.app is None else {str(route.app): apps.get(str(route.app))}
    yield from _check_markers(path, concerned, setters)


def check_order_of_routes(routes: Sequence[RouteTable | None]) -> Iterator[Fault]:
    """Yield a warning for each route behind one that takes all of its callbacks; the first match wins."""
    for number, route in enumerate(routes):
        covering = next((i for i, one in enumerate(routes[:number]) if _covers(one, route)), None)
        if covering is not None:
            message = f"can never match: routes[{covering}] comes first and matches all that this one does"
            yield Fault(f"routes[{number}]", message, warning=True)


def _covers(earlier: RouteTable | None, route: RouteTable | None) -> bool:
    return (
        earlier is not None
        and route is not None
        and earlier.app in {None, route.app}
        and earlier.path in {None, route.path}
        and implies(route.when, earlier.when)
    )


def _check_markers(
    path: str, apps: Mapping[str, AppTable | None], setters: Mapping[str, str]
) -> Iterator[Fault]:
    """Yield a fault for each marker that a lookup of the route sets, too."""
    for name, app in apps.items():
        for marker in (app.markers.status, app.markers.age, app.markers.reason) if app else ():
            if marker is not None and marker in setters:
                message = f"{marker!r} is also set by {setters[marker]!r} in {path}"
                yield Fault(f"apps.{name}.markers", message)


def compile_route(number: int, table: RouteTable, lookups: Mapping[str, Lookup]) -> Route:
    """Return what ``table`` means; nothing contradicts it."""
    reads = {name: lookups[name].reads for name in table.lookups}
    sets = {name: tuple(lookups[name].variables) for name in table.lookups}
    needs = needs_of(table.lookups, reads, sets)
    return Route(
        name=f"routes[{number}]",
        app=table.app,
        path=table.path,
        when=table.when,
        lookups=tuple(lookups[name] for name in table.lookups),
        waves=tuple(tuple(lookups[name] for name in wave) for wave in in_waves(table.lookups, needs)),
        internal=frozenset().union(*(lookups[name].internal for name in table.lookups)),
    )
