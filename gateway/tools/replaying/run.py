"""Recorded callbacks, answered by another configuration. Nothing is recorded of it.

The backends' recorded replies are judged and mapped anew, or the backends are asked again. What else a
callback met, such as a timeout, it meets again.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from multidict import CIMultiDict

from gateway.core.errors import Code, DeskgateError, NoRoute
from gateway.core.messages import Callback, Reply
from gateway.declared.app import App
from gateway.declared.catalog import Catalog
from gateway.declared.lookup import Lookup
from gateway.declared.mask import mask_of
from gateway.declared.secrets import HIDDEN
from gateway.declared.when import holds
from gateway.front import ladder
from gateway.front.flow import know
from gateway.front.ladder import Outcome, Source
from gateway.front.plan import plan
from gateway.history.entries import CallbackEntry, LookupPart
from gateway.history.values import keep_values
from gateway.lookups.answers import Response
from gateway.lookups.ask import GuardedBackend
from gateway.lookups.build import open_backend
from gateway.lookups.judged import judge_response
from gateway.resilience.board import Board
from gateway.tools.explaining.story import Part, Told, code_name

_REFUSED = (Code.MISSING_INPUT, Code.INVALID_INPUT)


class CannotReplay(DeskgateError):
    """A callback that cannot be replayed; ``str()`` says why."""


class Difference(NamedTuple):
    """What differs in one callback: ``what`` is a variable, ``code`` or ``route``."""

    what: str
    before: str
    after: str
    trace_id: str


class Replayed(NamedTuple):
    """What came of it: the callbacks that were replayed, what differs, and why others were not replayed."""

    callbacks: int
    differences: tuple[Difference, ...]
    left_out: Mapping[str, int]


Answer = Callable[[Lookup, Callback, Part | None, CallbackEntry], Awaitable[Outcome]]
"""Returns the outcome of a lookup for a callback, by its part of the recorded one; raises CannotReplay."""


async def replay(catalog: Catalog, story: Sequence[Told], answer: Answer) -> Replayed:
    """Return what a configuration makes of recorded callbacks."""
    differences: list[Difference] = []
    left_out: Counter[str] = Counter()
    mask = mask_of(catalog.settings)
    done = 0
    for told in story:
        one = told.callback
        try:
            app = _app_of(catalog, one)
            reply, route = await _answer(catalog, app, told, answer)
        except CannotReplay as error:
            left_out[str(error)] += 1
            continue
        done += 1
        after = keep_values(reply.variables, mask.also(app.mask))
        if route != one.route:
            differences.append(Difference("route", one.route, route, one.trace_id))
        if reply.code != one.code:
            differences.append(Difference("code", code_name(one.code), reply.code.name, one.trace_id))
        differences += _compare(one, after, app)
    return Replayed(done, tuple(differences), dict(left_out))


def _compare(callback: CallbackEntry, after: Mapping[str, str], app: App) -> Iterator[Difference]:
    """Yield the variables that differ; the markers tell of the source, which is another one."""
    before = callback.variables or {}
    markers = {app.markers.status, app.markers.age, app.markers.reason}
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name) and name not in markers:
            yield Difference(name, _shown(before.get(name)), _shown(after.get(name)), callback.trace_id)


async def recorded(lookup: Lookup, callback: Callback, part: Part | None, then: CallbackEntry) -> Outcome:
    """Return the outcome of a lookup by the recorded reply of its backend."""
    if part is None or (part.part.code in _REFUSED and not _is_hidden(lookup, callback)):
        msg = f"{lookup.name} was not asked for then: try --live"
        raise CannotReplay(msg)
    said = part.asked.reply if part.asked is not None else None
    if said is not None and said.status is not None and said.body is not None:
        headers = CIMultiDict({"Content-Type": said.content_type.partition(";")[0]})  # it is UTF-8 now
        judged = judge_response(lookup, Response(said.status, headers, said.body.encode()), time.time())
        if judged.variables is not None:
            return Outcome(lookup.name, Source.LIVE, Code.OK, judged.variables)
        return _fallen(lookup, judged.code, part.part, then)
    if not part.part.code:
        msg = f"{lookup.name}: the backend's reply was not kept, or not as a whole: try --live"
        raise CannotReplay(msg)
    return _fallen(lookup, _code(part.part.code), part.part, then)


class Live:
    """Asks the backends again. One process, no worker, no Redis."""

    def __init__(self, catalog: Catalog) -> None:
        """Take the configuration; backends are opened as they are needed."""
        self._catalog = catalog
        self._backends = dict[str, GuardedBackend]()

    async def __call__(
        self, lookup: Lookup, callback: Callback, _: Part | None, __: CallbackEntry
    ) -> Outcome:
        """Return the outcome of a lookup that is asked for now."""
        if _is_hidden(lookup, callback):
            msg = f"{lookup.name} reads an input that is hidden, so nobody can be asked again"
            raise CannotReplay(msg)
        planned = plan(lookup, self._catalog.apps[callback.app], callback, "", lambda _: None)
        backend = self._backends.get(lookup.lane)
        if backend is None:
            backend = open_backend(self._catalog, lookup.lane, Board(), bulkhead=False)
            self._backends[lookup.lane] = backend
            await backend.start()
        asked = await backend.ask(planned.job, "replay", self._catalog.settings.gateway.budget)
        if asked.answer.code == Code.OK:
            return Outcome(lookup.name, Source.LIVE, Code.OK, asked.answer.variables)
        return ladder.descend(lookup, asked.answer.code, None, 0.0)

    async def close(self) -> None:
        """Close the backends."""
        for backend in self._backends.values():
            await backend.close()


async def _answer(catalog: Catalog, app: App, told: Told, answer: Answer) -> tuple[Reply, str]:
    """Return the reply to a recorded callback, and the name of its route."""
    one = told.callback
    if one.inputs is None:
        msg = 'its values were not kept: history.level must have been "values"'
        raise CannotReplay(msg)
    callback = Callback(one.app, one.session, one.user, one.path, one.inputs)
    try:
        route = catalog.route(callback)
    except NoRoute:
        return Reply(Code.NO_ROUTE), "none"
    parts = {part.lookup: part for part in told.parts}
    outcomes: dict[str, Outcome] = {}
    knowing = callback
    for wave in route.waves:
        due = [lookup for lookup in wave if not lookup.when or holds(lookup.when, knowing.variables)]
        for lookup in due:
            refused = None if _is_hidden(lookup, knowing) else _refuse(lookup, app, knowing)
            outcomes[lookup.name] = refused or await answer(lookup, knowing, parts.get(lookup.name), one)
        knowing = know(knowing, due, outcomes)
    in_order = [outcomes[lookup.name] for lookup in route.lookups if lookup.name in outcomes]
    return ladder.merge(app, in_order, route.internal), route.name


def _is_hidden(lookup: Lookup, callback: Callback) -> bool:
    """True if nobody knows any more what a lookup was asked with."""
    return any(HIDDEN in callback.variables.get(name, "") for name in lookup.inputs)


def _refuse(lookup: Lookup, app: App, callback: Callback) -> Outcome | None:
    """Return the outcome of a lookup that cannot be asked with its inputs, None for another."""
    refused = plan(lookup, app, callback, "", lambda _: None).refused
    return None if refused is None else ladder.refuse(lookup, refused.code, refused.input)


def _fallen(lookup: Lookup, code: Code, part: LookupPart, then: CallbackEntry) -> Outcome:
    """Return the outcome of a lookup that has no answer: its last known one is in the reply of then."""
    if part.source not in {Source.STALE, Source.USER}:
        return ladder.descend(lookup, code, None, 0.0)
    values = then.variables or {}
    if any(name not in values for name in lookup.variables):
        msg = f"{lookup.name} had its last known answer, which lacks a variable: try --live"
        raise CannotReplay(msg)
    known = {name: values[name] for name in lookup.variables}
    return Outcome(lookup.name, Source(part.source), code, known)


def _app_of(catalog: Catalog, callback: CallbackEntry) -> App:
    app = catalog.apps.get(callback.app)
    if app is None:
        msg = f"its app {callback.app} is not in the configuration"
        raise CannotReplay(msg)
    return app


def _code(code: int) -> Code:
    try:
        return Code(code)
    except ValueError:
        msg = f"its code {code} is of another release"
        raise CannotReplay(msg) from None


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)
