"""The table ``[apps.ID]``, its contradictions, and the :class:`App` that it means."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.declared.lookup import Lookup
from gateway.declared.reading import Fault, plain
from gateway.declared.values import HAS_EDGE, Table, Tokens, has_edge
from gateway.declared.wording import unknown


class Markers(Table, frozen=True, kw_only=True):
    """Names of the optional extra variables that tell a flow how good a reply is."""

    status: str | None = None
    age: str | None = None
    reason: str | None = None


class AppTable(Table, frozen=True, kw_only=True):
    """One SdkAppid that may call."""

    token: Tokens = Tokens()
    signature: Literal["required", "optional", "off"] = "required"
    on_degraded: Literal["error", "ok"] = "error"
    markers: Markers = Markers()
    prefetch: tuple[str, ...] = ()
    prefetch_on: tuple[str, ...] = ()
    forget_on: tuple[str, ...] = ()
    redis_lost: Literal["records", "direct"] = "records"
    mask: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class App:
    """One SdkAppid that may call, compiled.

    On a session's events the ``prefetch`` lookups are made ahead, or on those in ``prefetch_on`` alone. Those
    in ``forget_on`` erase its records. ``indexed`` is the number of seconds for which the index of a session
    is kept, so that an event can erase its records; 0 if no event does. ``redis_lost`` says what answers
    while Redis is lost: the records alone, or the backends too. Values with a name in ``mask`` are hidden in
    the history.
    """

    id: int
    tokens: tuple[str, ...]
    signature: Literal["required", "optional", "off"]
    on_degraded: Literal["error", "ok"]
    markers: Markers
    prefetch: tuple[Lookup, ...] = ()
    prefetch_on: frozenset[str] = frozenset()
    forget_on: frozenset[str] = frozenset()
    indexed: float = 0.0
    redis_lost: Literal["records", "direct"] = "records"
    mask: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        """Return the number alone: the tokens are secret."""
        return f"App({self.id})"


def check_app(
    name: str,
    app: AppTable | None,
    inputs: Mapping[str, Sequence[str]],
    event_variables: Sequence[str] | None,
) -> Iterator[Fault]:
    """Yield the contradictions of the table; ``app`` is None if it could not be read.

    ``inputs`` has the inputs of every declared lookup. ``event_variables`` are the variables that a session
    event gives: a lookup that is prefetched may read no other variable. None leaves this unjudged.
    """
    path = f"apps.{name}"
    if not re.fullmatch(r"[1-9]\d{0,18}", name, re.ASCII):
        yield Fault(path, "a SdkAppid is a number, for example [apps.1400000001]")
    if app is not None:
        if app.signature != "off" and not app.token:
            message = "missing; without a token set signature = 'off'"
            yield Fault(f"{path}.token", message, (f"{path}.signature",))
        if any(map(has_edge, app.token)):
            yield Fault(f"{path}.token", HAS_EDGE)
        yield from _check_prefetch(f"{path}.prefetch", app, inputs, event_variables)
        for setting in ("prefetch_on", "forget_on", "mask"):
            for i, one in enumerate(getattr(app, setting)):
                if not one:
                    yield Fault(f"{path}.{setting}[{i}]", "a name must not be empty")
        yield from _check_markers(f"{path}.markers", app.markers)
        if app.prefetch_on and not app.prefetch:
            about = (f"{path}.prefetch",)
            yield Fault(f"{path}.prefetch_on", "nothing is prefetched: name lookups in prefetch", about)


def _check_markers(path: str, markers: Markers) -> Iterator[Fault]:
    names = [name for name in (markers.status, markers.age, markers.reason) if name is not None]
    if "" in names:
        yield Fault(path, "a name must not be empty")
    if len(set(names)) < len(names):
        yield Fault(path, "two markers must not have one name: a flow would get one of them")


def _check_prefetch(
    path: str, app: AppTable, inputs: Mapping[str, Sequence[str]], event_variables: Sequence[str] | None
) -> Iterator[Fault]:
    for i, name in enumerate(app.prefetch):
        if name not in inputs:
            yield Fault(f"{path}[{i}]", unknown(name, "a lookup", inputs))
        elif event_variables is not None:
            given = " and ".join(event_variables)
            about = (f"lookups.{name}.inputs", f"lookups.{name}.request")
            for variable in inputs[name]:
                if variable not in event_variables:
                    message = f"{name!r} reads {variable!r}; a session event gives {given} alone"
                    yield Fault(f"{path}[{i}]", message, about)


def compile_app(name: str, table: AppTable, lookups: Mapping[str, Lookup]) -> App:
    """Return what ``table`` means; nothing contradicts it."""
    kept = max((lookup.kept for lookup in lookups.values()), default=0.0)
    return App(
        id=int(name),
        tokens=table.token,
        signature=table.signature,
        on_degraded=table.on_degraded,
        markers=Markers(**plain(msgspec.structs.asdict(table.markers))),
        prefetch=tuple(lookups[name] for name in dict.fromkeys(table.prefetch)),
        prefetch_on=frozenset(plain(table.prefetch_on)),
        forget_on=frozenset(plain(table.forget_on)),
        indexed=kept if table.forget_on else 0.0,
        redis_lost=table.redis_lost,
        mask=frozenset(plain(table.mask)),
    )
