"""The catalog: apps, routes and lookups, validated and compiled; what a callback asks is decided here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.parser import ParsedResult

from gateway.core.errors import NoRoute
from gateway.core.messages import Callback
from gateway.declared import config
from gateway.declared.checks import check
from gateway.declared.reading import ConfigFaults, Fault, Secret, plain, present, suggestion
from gateway.declared.request import RequestTemplate, compile_request

PYTHON_LANE = "python"
PYTHON_LATE = 10.0
"""Seconds for which a Python lookup may run on past its deadline."""


@dataclass(frozen=True, slots=True, repr=False)
class Lookup:
    """A declared question to one backend. Durations are seconds.

    ``version`` changes with the question or with what its reply means: an answer kept under another one is
    not an answer to this lookup. ``late`` is how far past its deadline a running attempt may go on. ``share``
    says whether another session of the same user may fall back on an answer.
    """

    name: str
    lane: str
    version: str
    inputs: tuple[str, ...]
    variables: Mapping[str, ParsedResult]
    request: RequestTemplate | None = None
    python: str | None = None
    required: frozenset[str] = frozenset()
    not_found: Mapping[str, str] | None = None
    fallback: Mapping[str, str] = field(default_factory=dict)
    fresh: float = 60.0
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 86400.0
    share: Literal["session", "user"] = "session"
    late: float = PYTHON_LATE

    def __repr__(self) -> str:
        """Return the name alone: what is declared may come from the environment."""
        return f"Lookup({self.name})"

    @property
    def kept(self) -> float:
        """Seconds for which an answer is worth keeping."""
        return max(self.fresh + self.stale_while_revalidate, self.stale_if_error)


@dataclass(frozen=True, slots=True, repr=False)
class App:
    """One SdkAppid that may call.

    On a session's events, the ``prefetch`` lookups are made ahead, and those named in ``forget_on`` erase its
    records. ``indexed`` is for how many seconds what is begun for a session is noted, so that an event can
    erase it: 0 where none does. ``redis_lost`` says what answers while Redis is lost: the records alone, or
    the backends too.
    """

    id: int
    tokens: tuple[str, ...]
    signature: Literal["required", "optional", "off"]
    on_degraded: Literal["error", "ok"]
    markers: config.Markers
    prefetch: tuple[Lookup, ...] = ()
    forget_on: frozenset[str] = frozenset()
    indexed: float = 0.0
    redis_lost: Literal["records", "direct"] = "records"

    def __repr__(self) -> str:
        """Return the number alone: the tokens are secret."""
        return f"App({self.id})"


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """Which callbacks make which lookups; ``name`` is its place in the file, ``routes[0]``."""

    name: str
    app: int | None
    path: str | None
    when: Mapping[str, str]
    lookups: tuple[Lookup, ...]

    def __repr__(self) -> str:
        """Return the place alone: what is declared may come from the environment."""
        return f"Route({self.name})"

    def matches(self, callback: Callback) -> bool:
        """Tell whether every condition holds: a value, ``*`` (not empty), or ``""`` (absent or empty)."""
        if self.app is not None and self.app != callback.app:
            return False
        if self.path is not None and self.path != callback.path:
            return False
        for name, wanted in self.when.items():
            value = callback.variables.get(name, "")
            if value != wanted and not (wanted == "*" and value):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that the configuration declares, ready for use."""

    settings: config.Config
    apps: Mapping[int, App]
    routes: tuple[Route, ...]
    lookups: Mapping[str, Lookup]

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes that lookups use, each once, in the order of the file."""
        return tuple(dict.fromkeys(lookup.lane for lookup in self.lookups.values()))

    def route(self, callback: Callback) -> Route:
        """Return the first route that matches; raise NoRoute."""
        for route in self.routes:
            if route.matches(callback):
                return route
        msg = "no route matches this callback; see [[routes]] in the configuration"
        raise NoRoute(msg)


def compile_catalog(
    settings: config.Config, faults: list[Fault], *, event_variables: Sequence[str] | None = None
) -> Catalog:
    """Return the catalog of ``settings``; raise ConfigFaults with ``faults`` and all that is found here.

    ``event_variables`` are the variables that a session event gives, in the dialect of those who call: a
    lookup that is prefetched may read no other one. Only a gateway knows them, and judges by them.
    """
    found: list[Fault] = []
    lookups = {
        name: _lookup(name, declared, settings.backends.get(declared.backend or ""), found)
        for name, declared in present(settings.lookups).items()
    }
    check(
        settings, {name: frozenset(lookup.inputs) for name, lookup in lookups.items()}, found, event_variables
    )
    # What could not be read stands there empty or by its default: that it does not fit is no second fault.
    unread = [fault.path for fault in faults]
    for fault in found:
        places = (fault.path, *fault.about)
        if not any(_lies_in(place, path) for place in places for path in unread):
            faults.append(fault)
    if faults:
        raise ConfigFaults(faults)
    return Catalog(
        settings=settings,
        apps={int(name): _app(int(name), declared, lookups) for name, declared in settings.apps.items()},
        routes=tuple(
            Route(f"routes[{i}]", r.app, r.path, r.when, tuple(lookups[name] for name in r.lookups))
            for i, r in enumerate(settings.routes)
        ),
        lookups=lookups,
    )


def load(path: Path) -> Catalog:
    """Return the catalog of the configuration file; raise ConfigFaults with everything that is wrong."""
    return compile_catalog(*config.read_file(path))


def _lies_in(path: str, place: str) -> bool:
    return path == place or path.startswith((f"{place}.", f"{place}["))


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    """Return the functions that a parsed JMESPath expression calls; compiling it looks none of them up."""
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _functions(child)


def _app(number: int, declared: config.App, lookups: Mapping[str, Lookup]) -> App:
    return App(
        id=number,
        tokens=declared.token,
        signature=declared.signature,
        on_degraded=declared.on_degraded,
        markers=config.Markers(**plain(msgspec.structs.asdict(declared.markers))),
        prefetch=tuple(lookups[name] for name in dict.fromkeys(declared.prefetch)),
        forget_on=frozenset(plain(declared.forget_on)),
        indexed=max((lookup.kept for lookup in lookups.values()), default=0.0) if declared.forget_on else 0.0,
        redis_lost=declared.redis_lost,
    )


def _lookup(
    name: str, declared: config.Lookup, backend: config.Backend | None, faults: list[Fault]
) -> Lookup:
    def fault(place: str, message: str) -> None:
        faults.append(Fault(f"lookups.{name}.{place}", message))

    variables = {}
    for variable, expression in declared.variables.items():
        try:
            variables[variable] = jmespath.compile(expression)
        except JMESPathError as error:
            reason = "" if isinstance(expression, Secret) else ": " + str(error).splitlines()[0].rstrip(":")
            fault(f"variables.{variable}", f"{expression!r} is not a JMESPath expression{reason}")
            continue
        for function in _functions(variables[variable].parsed):
            if function not in Functions.FUNCTION_TABLE:
                hint = suggestion(function, Functions.FUNCTION_TABLE)
                shown = repr(expression) if isinstance(expression, Secret) else f"{function}()"
                fault(f"variables.{variable}", f"{shown} is not a function of JMESPath{hint}")
    request = None
    if declared.request is not None:
        request = compile_request(declared.request, lambda place, message: fault(f"request.{place}", message))
    question = (declared.backend, declared.request, declared.python, declared.variables, declared.not_found)
    return Lookup(
        name=name,
        lane=declared.backend or PYTHON_LANE,
        version=blake2b(msgspec.json.encode(question, enc_hook=plain), digest_size=4).hexdigest(),
        inputs=tuple(sorted({*plain(declared.inputs), *(request.inputs if request else ())})),
        variables=variables,
        request=request,
        python=declared.python,
        required=frozenset(declared.required),
        not_found=plain(declared.not_found),
        fallback=plain(declared.fallback),
        fresh=declared.fresh,
        stale_while_revalidate=declared.stale_while_revalidate,
        stale_if_error=declared.stale_if_error,
        share=declared.share,
        late=backend.attempt_timeout if backend else PYTHON_LATE,
    )
