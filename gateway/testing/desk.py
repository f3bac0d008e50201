"""Desk, played by a test: one call, one reply with where it came from."""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.errors import Code, DeskgateError, LookupFailed, NoAnswer, NotFound
from gateway.core.messages import Ask, Callback
from gateway.core.records import Known
from gateway.declared.catalog import Catalog, compile_catalog, read
from gateway.declared.lookup import Lookup
from gateway.declared.reading import ConfigFaults
from gateway.declared.request import FilledRequest
from gateway.front.askers import unanswered
from gateway.front.flow import Flow
from gateway.front.ladder import Heard, Source
from gateway.front.plan import Planned
from gateway.lookups.answers import Response, interpret
from gateway.lookups.client import Clients
from gateway.lookups.http import fill
from gateway.lookups.other_answers import interpret_missing, interpret_rows, interpret_value, judge
from gateway.lookups.python import PythonBackend
from gateway.lookups.reply import Finding
from gateway.records.memory import RecordMemory
from gateway.resilience.policy import Call
from gateway.resilience.stack import Runner
from gateway.testing.backend import Request, ScriptedBackend, request_of
from gateway.testing.clock import Clock

_NOT_IN_NAMES = re.compile("[^a-z0-9]+")
_INVENTED = {
    "redis": "redis://{}.test",
    "dsn": "postgresql://{}.test/test",
    "database": "postgresql://{}.test/test",
    "url": "http://{}.test",
}
_MOST_RECORDS = 100_000


@dataclass(frozen=True, slots=True)
class LookupReply:
    """A lookup's part of a reply: its source, its code, the age of its answer in seconds."""

    source: str
    code: Code
    age: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeskReply:
    """A reply: its code, its line for people, its variables, its route, and what each lookup gave."""

    code: Code
    info: str
    variables: Mapping[str, str]
    route: str
    lookups: Mapping[str, LookupReply]


class NotScripted(DeskgateError):
    """A backend was asked that the test has not given."""


class Desk:
    """Calls one app of a configuration. Its records, and its clock, last as long as it does.

    ``config`` is the file, or its text. ``environ`` has variables of the environment for it; one that is not
    there is invented: an address for a name such as ``CRM_URL``, else the name itself. Each backend is given
    by its name.
    """

    def __init__(
        self,
        config: str | Path,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        app: int | None = None,
        **backends: ScriptedBackend,
    ) -> None:
        """Read the configuration; raise ConfigFaults, and OSError for a file that is not there."""
        text = config if isinstance(config, str) and "\n" in config else Path(config).read_text("utf-8")
        catalog = compile_catalog(*read(text, _Invented(environ or {})))
        if unknown := sorted(set(backends) - set(catalog.settings.backends)):
            msg = f"the configuration has no backend {', '.join(unknown)}"
            raise NotScripted(msg)
        self.clock = clock or Clock()
        self.app = app if app is not None else next(iter(catalog.apps), 0)
        self._reasons: dict[str, str] = {}
        memory = RecordMemory(_MOST_RECORDS)
        self._asker = _ScriptedAsker(catalog, backends, memory, self.clock, self._reasons)
        self._flow = Flow(catalog, memory.get, dict.fromkeys(catalog.apps, self._asker), self.clock)
        self._budget = catalog.settings.gateway.budget

    def call(self, session: str = "s1", user: str = "u1", path: str = "/", **variables: str) -> DeskReply:
        """Send one callback of a session and return the reply; raise NoRoute."""
        return asyncio.run(self.answer(session, user, path, **variables))

    async def answer(
        self, session: str = "s1", user: str = "u1", path: str = "/", **variables: str
    ) -> DeskReply:
        """Do the same in a coroutine."""
        system = {"SystemSessionID": session, "SystemClientUserID": user}
        callback = Callback(self.app, session, user, path, {**system, **variables})
        self._reasons.clear()
        answered = await self._flow.answer(callback, self.clock.now() + self._budget, "")
        lookups = {
            one.lookup: LookupReply(one.source.value, one.code, one.age, self._reasons.get(one.lookup, ""))
            for one in answered.outcomes
        }
        await self._asker.renew()
        reply = answered.reply
        return DeskReply(reply.code, reply.info, dict(reply.variables), answered.route.name, lookups)


class _ScriptedAsker:
    """An asker whose backends are scripted; it keeps answers as a worker does."""

    def __init__(
        self,
        catalog: Catalog,
        backends: Mapping[str, ScriptedBackend],
        memory: RecordMemory,
        clock: Clock,
        reasons: dict[str, str],
    ) -> None:
        self._catalog, self._backends, self._memory = catalog, backends, memory
        self._clock, self._reasons = clock, reasons
        self._refreshing: list[Planned] = []

    async def ask(self, planned: Sequence[Planned], deadline: float) -> list[Heard]:  # noqa: ARG002 - no time passes
        """Return the result of each lookup."""
        return [await self._hear(one) for one in planned]

    def refresh(self, planned: Planned) -> None:
        """Have a record renewed behind the reply, by :meth:`renew`."""
        self._refreshing.append(planned)

    async def renew(self) -> None:
        """Renew the records that have answered a callback: the next one has the new ones."""
        while self._refreshing:
            await self._hear(self._refreshing.pop(0))

    async def _hear(self, planned: Planned) -> Heard:
        lookup, job = planned.lookup, planned.job
        try:
            finding = await self._find(lookup, planned)
        except NoAnswer as error:
            self._reasons[lookup.name] = str(error)
            return unanswered(planned, error.code)
        live = Known(finding.variables, self._clock.now(), finding.found)
        for name in filter(None, (job.record, job.user_record)):
            self._memory.put(name, live, user=job.user)
        return Heard(Code.OK, Source.LIVE, live, planned.known, planned.of_user)

    async def _find(self, lookup: Lookup, planned: Planned) -> Finding:
        inputs = planned.job.inputs
        if lookup.python is not None and lookup.lane not in self._backends:
            return await self._call(lookup, planned)
        backend = self._scripted(lookup.name, lookup.lane)
        if lookup.request is not None:
            request = _asked(lookup.name, inputs, fill(lookup, inputs))
            return interpret(lookup, backend.answer(request).response(lookup), time.time())
        reply = backend.answer(Request(lookup.name, inputs))
        if lookup.statement is not None:
            return interpret_rows(lookup, reply.found(lookup))
        reply.raise_fault()
        return interpret_value(lookup, reply.json)

    async def _call(self, lookup: Lookup, planned: Planned) -> Finding:
        """Return what a Python lookup's own function gives; the backends that it asks are scripted."""
        job, left = planned.job, self._catalog.settings.gateway.budget
        missing: list[NotScripted] = []

        def open_scripted(name: str) -> tuple[_ScriptedFetching, Runner]:
            try:
                return _ScriptedFetching(self._scripted(lookup.name, name), lookup.name, job.inputs), _attempt
            except NotScripted as error:  # a worker would make LOOKUP_FAILED of it, and say nothing more
                missing.append(error)
                raise

        clients = Clients(self._catalog.askable, open_scripted)
        settings = self._catalog.backend(lookup.lane)
        backend = PythonBackend({lookup.name: lookup}, settings, lookup.lane, clients)
        await backend.start()
        ask = Ask(lookup.name, job.inputs, job.app, job.session, "", left, job.user)
        try:
            return interpret_value(lookup, await backend.call(lookup, ask))
        except NotFound as error:
            return interpret_missing(lookup, str(error) or "the lookup found nothing")
        finally:
            await backend.close()
            if missing:
                raise missing[0]

    def _scripted(self, lookup: str, name: str) -> ScriptedBackend:
        """Return the backend that a lookup asks; raise NotScripted."""
        backend = self._backends.get(name)
        if backend is None:
            msg = f"{lookup} asks the backend {name}: give Desk one, by {name}=ScriptedBackend(…)"
            raise NotScripted(msg)
        return backend


class _ScriptedFetching:
    """A scripted backend as a Python lookup's ``ask.backend`` gets it."""

    def __init__(self, backend: ScriptedBackend, lookup: str, inputs: Mapping[str, str]) -> None:
        self._backend, self._lookup, self._inputs = backend, lookup, inputs

    async def fetch(
        self,
        request: FilledRequest,
        reading: Lookup,
        traceparent: str = "",  # noqa: ARG002 - nobody traces a test
    ) -> tuple[Response, object]:
        """Return the scripted response and its value; raise NoAnswer."""
        response = self._backend.answer(_asked(self._lookup, self._inputs, request)).response(reading)
        return response, judge(reading, response, time.time())

    async def close(self) -> None:
        """There is nothing to close."""


async def _attempt(call: Call) -> Any:  # noqa: ANN401 - as every runner
    """Run a call without policies: one attempt."""
    return await call.make()


def _asked(lookup: str, inputs: Mapping[str, str], filled: FilledRequest) -> Request:
    """Return what a backend hears of a question over HTTP."""
    return request_of(
        *(lookup, inputs, filled.method, filled.target), headers=filled.headers, body=filled.body or b""
    )


class _Invented(Mapping[str, str]):
    """An environment in which every variable is there."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def __getitem__(self, name: str) -> str:
        if name in self._given:
            return self._given[name]
        word = _NOT_IN_NAMES.sub("-", name.lower()).strip("-")
        for part, address in _INVENTED.items():
            if part in word:
                return address.format(word)
        return word

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


__all__ = ["ConfigFaults", "Desk", "DeskReply", "LookupFailed", "LookupReply", "NotScripted"]
