"""One attempt of a lookup, without gateway, worker and Redis: its request, its reply, what is made of it."""

import asyncio
import time
from collections.abc import Iterator, Mapping

from multidict import CIMultiDict

from gateway.core.errors import BadBackendReply, Code, DeskgateError, LookupFailed, NoAnswer, NotFound
from gateway.core.messages import Ask, Callback
from gateway.core.variables import as_json
from gateway.declared.app import App, Markers
from gateway.declared.backend import Backend as Settings
from gateway.declared.catalog import Catalog
from gateway.declared.lookup import Lookup
from gateway.declared.mask import Mask, mask_of
from gateway.declared.request import FilledRequest
from gateway.declared.secrets import HIDDEN
from gateway.declared.tokens import LoginAuth, OAuth2Auth
from gateway.declared.when import holds
from gateway.front.plan import Planned, plan
from gateway.lookups.answers import Response, Undecoded
from gateway.lookups.build import open_bare
from gateway.lookups.credentials.fixed import auth_headers
from gateway.lookups.decoding import ACCEPTED
from gateway.lookups.http import HttpBackend, fill
from gateway.lookups.judged import Judged, judge_missing, judge_response, judge_rows, judge_value
from gateway.lookups.python import PythonBackend, Raised
from gateway.lookups.sql import SqlBackend
from gateway.tools.fleet import board_for
from gateway.tools.trial.steps import Given, Question, Reply, Trial

_NOBODY = App(0, (), "off", "error", Markers())
_CONTENT_TYPES = {"json": "application/json", "xml": "application/xml", "text": "text/plain"}


class NoSuchLookup(DeskgateError):
    """The configuration has no lookup of this name."""


async def try_lookup(
    catalog: Catalog,
    name: str,
    variables: Mapping[str, str],
    *,
    given: Given | None = None,
    dry_run: bool = False,
) -> Trial:
    """Return what becomes of a lookup for a session with these ``variables``.

    A ``given`` reply takes the place of the backend's. In a ``dry_run`` nothing is sent, nor any token asked
    for. Raise NoSuchLookup, and what :func:`open_bare` raises.
    """
    if name not in catalog.lookups:
        raise NoSuchLookup(name)
    lookup, mask = catalog.lookups[name], mask_of(catalog.settings)
    callback = Callback(app=0, session="try", user="", path="/", variables=variables)
    planned = plan(lookup, _NOBODY, callback, "", lambda _: None)
    notes = (*_notes(lookup, variables), *_warnings(catalog, lookup))
    inputs = mask.named(planned.job.inputs)
    if planned.refused is not None and given is None:
        code, blamed = planned.refused.code, planned.refused.input
        why = "is absent or empty: give it with --set" if code == Code.MISSING_INPUT else "is none that fits"
        return Trial(name, inputs, None, None, None, code, f"{blamed} {why}", 0.0, notes)
    return await _Attempt(catalog, lookup, planned, mask, notes).run(given, dry_run=dry_run)


class _Attempt:
    """One attempt, and what has been seen of it so far."""

    def __init__(
        self, catalog: Catalog, lookup: Lookup, planned: Planned, mask: Mask, notes: tuple[str, ...]
    ) -> None:
        self._catalog, self._lookup, self._mask = catalog, lookup, mask
        self._inputs, self._notes = planned.job.inputs, notes
        self._settings = catalog.backend(lookup.lane)
        self._question: Question | None = None
        self._reply: Reply | None = None
        self._took = 0.0

    async def run(self, given: Given | None, *, dry_run: bool) -> Trial:
        """Make it."""
        if given is not None:
            try:
                return self._judged(self._judge_given(given))
            except NoAnswer as error:
                return self._trial(None, error.code, self._mask.text(str(error)))
        asked = [] if dry_run else self._asked_backends()
        try:
            async with board_for(self._catalog, self._catalog.settings.redis.url, asked) as board:
                backend = open_bare(self._catalog, self._lookup.lane, board)
                try:
                    judged = await self._ask(backend, dry_run=dry_run)
                finally:
                    await backend.close()
        except NoAnswer as error:
            return self._trial(None, error.code, self._mask.text(str(error)))
        except TimeoutError:
            limit = f"{self._settings.attempt_timeout * 1000:.0f} ms"
            return self._trial(None, Code.TIMEOUT, f"no reply within {limit}, the attempt_timeout")
        return self._trial(None, Code.OK, "") if judged is None else self._judged(judged)

    def _asked_backends(self) -> list[Settings]:
        """Return the backends that the lookup asks: its own, or all that a Python lookup may ask."""
        return [*self._catalog.askable.values()] if self._lookup.python is not None else [self._settings]

    async def _ask(
        self, backend: HttpBackend | PythonBackend | SqlBackend, *, dry_run: bool
    ) -> Judged | None:
        begun = time.monotonic()
        try:
            match backend:
                case HttpBackend():
                    return await self._ask_http(backend, dry_run=dry_run)
                case SqlBackend():
                    return await self._ask_sql(backend, dry_run=dry_run)
                case _:
                    return await self._call(backend, dry_run=dry_run)
        finally:
            self._took = self._took or time.monotonic() - begun

    async def _ask_http(self, backend: HttpBackend, *, dry_run: bool) -> Judged | None:
        lookup = self._lookup
        plain = request = fill(lookup, self._inputs)
        asks_for_token = isinstance(self._settings.auth, OAuth2Auth | LoginAuth)
        async with asyncio.timeout(self._settings.attempt_timeout):
            if not (dry_run and asks_for_token):
                request, token = await backend.add_credentials(plain)
                self._mask = self._mask.also(values=[token])
            self._question = self._show(backend, plain, request)
            if dry_run:
                if asks_for_token:
                    self._notes += ("a token would be asked for first; a dry run asks for none",)
                return None
            begun = time.monotonic()
            response = await backend.send(request, backend.headers_of(request, lookup))
            self._took = time.monotonic() - begun
        return self._judge(response)

    def _judge(self, response: Response) -> Judged:
        judged = judge_response(self._lookup, response, time.time())
        body = response.body or b""
        headers = self._mask.named(CIMultiDict(response.headers))
        self._reply = Reply(self._text(judged.value, body), len(body), response.status, headers)
        return judged

    async def _ask_sql(self, backend: SqlBackend, *, dry_run: bool) -> Judged | None:
        statement = self._lookup.statement
        if statement is None:  # the kind of a backend is that of its lookups
            raise LookupFailed(self._lookup.name)
        values = {name: self._inputs.get(name, "") for name in statement.parameters}
        line = self._mask.text(statement.text.replace("\\:", ":"))
        self._question = Question(line, parameters=self._mask.named(values))
        if dry_run:
            return None
        async with asyncio.timeout(self._settings.attempt_timeout):
            rows = await backend.select(self._lookup, self._inputs)
        self._take(rows)
        return judge_rows(self._lookup, rows)

    async def _call(self, backend: PythonBackend, *, dry_run: bool) -> Judged | None:
        lookup = self._lookup
        self._question = Question(f"{lookup.python}(ask)", parameters=self._mask.named(self._inputs))
        if dry_run:
            return None
        ask = Ask(lookup.name, self._inputs, 0, "try", "", self._settings.attempt_timeout)
        await backend.start()
        async with asyncio.timeout(self._settings.attempt_timeout):
            try:
                value = await backend.call(lookup, ask)
            except NotFound as error:
                return judge_missing(lookup, str(error) or "the lookup found nothing")
            except Raised as error:
                self._notes += tuple(f"raised at {frame}" for frame in error.frames)
                raise
        self._take(value)
        return judge_value(lookup, value)

    def _judge_given(self, given: Given) -> Judged:
        lookup = self._lookup
        if len(given.body) > self._settings.max_reply:
            msg = f"the reply is over max_reply ({self._settings.max_reply} bytes)"
            raise BadBackendReply(msg)
        content_type = _CONTENT_TYPES.get(lookup.reply, ACCEPTED["form"].partition(",")[0])
        response = Response(given.status, CIMultiDict({"Content-Type": content_type}), given.body)
        if self._settings.speaks == "http":
            return self._judge(response)
        value = judge_response(lookup, response, 0.0).value
        if isinstance(value, Undecoded):
            raise value.error or LookupFailed("the reply cannot be read")
        self._take(value)
        return judge_rows(lookup, value) if self._settings.speaks == "sql" else judge_value(lookup, value)

    def _take(self, value: object) -> None:
        text = self._text(value, b"")
        self._reply = Reply(text, len(text.encode()))

    def _text(self, value: object, body: bytes) -> str:
        """Return a reply as it is shown: JSON of what was read, or its text if it could not be read."""
        if isinstance(value, Undecoded):
            return self._mask.text(body.decode(errors="replace"))
        if isinstance(value, str):
            return self._mask.text(value)
        try:
            return as_json(self._mask.value(value))
        except (TypeError, ValueError) as error:
            return f"a value that JSON cannot say: {error}"

    def _show(self, backend: HttpBackend, plain: FilledRequest, request: FilledRequest) -> Question:
        """Return the request as it goes out. What credentials have added is hidden."""
        headers = self._mask.named(backend.headers_of(request, self._lookup))
        fixed = auth_headers(self._settings.auth)  # however short they are
        for name in {*fixed, *request.headers} - set(plain.headers):
            if name in headers:  # else the lookup declares it, in other letters
                headers[name] = HIDDEN
        target, body = request.target, (request.body or b"").decode(errors="replace")
        if target != plain.target:
            added = target.removeprefix(plain.target).lstrip("?&")
            names = [pair.partition("=")[0] for pair in added.split("&")]
            shown = "&".join(f"{name}={HIDDEN}" for name in names)
            target = f"{plain.target}{'&' if '?' in plain.target else '?'}{shown}"
        if request.body != plain.body:
            self._notes += ("the credentials in the body are not shown",)
            body = (plain.body or b"").decode(errors="replace")
        url = self._mask.text(f"{backend.url}{target}")
        return Question(f"{request.method} {url}", headers, self._mask.text(body))

    def _judged(self, judged: Judged) -> Trial:
        return self._trial(judged, judged.code, self._mask.text(judged.reason))

    def _trial(self, judged: Judged | None, code: Code, reason: str) -> Trial:
        inputs = self._mask.named(self._inputs)
        return Trial(
            self._lookup.name,
            inputs,
            self._question,
            self._reply,
            None if judged is None else self._hide(judged),
            code,
            reason,
            self._took,
            self._notes,
        )

    def _hide(self, judged: Judged) -> Judged:
        given = {
            name: one._replace(
                value=None if one.value is None else self._mask.named({name: one.value})[name],
                why=self._mask.text(one.why),
            )
            for name, one in judged.expressions.items()
        }
        variables = None if judged.variables is None else self._mask.named(judged.variables)
        return judged._replace(value=None, expressions=given, variables=variables)


def _warnings(catalog: Catalog, lookup: Lookup) -> Iterator[str]:
    """Yield what `check` warns of in the tables of a lookup and its backend."""
    places = [f"lookups.{lookup.name}", f"backends.{lookup.lane}"]
    yield from (str(warning) for warning in catalog.warnings if warning.lies_in(places))


def _notes(lookup: Lookup, variables: Mapping[str, str]) -> tuple[str, ...]:
    notes = [f"--set {name}: the lookup does not read it" for name in variables if name not in lookup.reads]
    if lookup.when and not holds(lookup.when, variables):
        conditions = ", ".join(f"{name} = {wanted!r}" for name, wanted in lookup.when.items())
        notes.append(f"its `when` does not hold ({conditions}): in a route it would be left out")
    return tuple(notes)
