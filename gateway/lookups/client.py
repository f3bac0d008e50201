"""Backends as Python lookups ask them: an HTTP client under the credentials and policies of a backend."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from gateway.core.charsets import find_charset
from gateway.core.errors import BadBackendReply, InvalidInput, LookupFailed
from gateway.core.messages import Ask
from gateway.core.variables import as_json, as_text
from gateway.declared.answers import compile_answers
from gateway.declared.backend import Backend as Settings
from gateway.declared.lookup import Lookup
from gateway.declared.request import FilledRequest
from gateway.declared.template import climbs, fill_path, parse_template
from gateway.lookups.answers import Response, Undecoded
from gateway.lookups.decoding import decode
from gateway.lookups.reported import AttemptReporter
from gateway.resilience.policy import Call
from gateway.resilience.stack import Runner

_NOT_IN_PATH = re.compile(r"[?#\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True, repr=False)
class ClientResponse:
    """A response that serves the lookup: none that the backend's rules, or its status, call an error."""

    status: int
    headers: Mapping[str, str]
    reading: Lookup
    body: bytes
    value: object

    def text(self) -> str:
        """Return the body as text, in the charset that the backend has; raise BadBackendReply for another."""
        text = decode(replace(self.reading, reply="text"), self.body, self.headers.get("Content-Type", ""))
        return str(text)

    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the body as a JSON value, its numbers with their digits; raise BadBackendReply for none."""
        if isinstance(self.value, Undecoded):
            raise self.value.error or BadBackendReply("the reply could not be read")
        return self.value


class Fetching(Protocol):
    """An HTTP backend, as far as a client needs it."""

    async def fetch(
        self, request: FilledRequest, reading: Lookup, traceparent: str = ""
    ) -> tuple[Response, object]:
        """Return the response of one attempt and its value; raise NoAnswer."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class BackendClient:
    """Asks one backend for one lookup, until the lookup's deadline on the monotonic clock."""

    def __init__(
        self, backend: Fetching, policies: Runner, reading: Lookup, ask: Ask, deadline: float
    ) -> None:
        """Take the backend, the policies around it, how its responses are read, and what is asked."""
        self._backend, self._policies, self._reading = backend, policies, reading
        self._ask, self._deadline = ask, deadline

    async def get(
        self,
        path: str,
        *,
        places: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        """Send a GET request: see :meth:`request`."""
        return await self.request("GET", path, places=places, query=query, headers=headers)

    async def post(
        self,
        path: str,
        *,
        places: Mapping[str, str] | None = None,
        json: object = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        """Send a POST request with a JSON body: see :meth:`request`."""
        return await self.request("POST", path, places=places, json=json, query=query, headers=headers)

    async def request(  # noqa: PLR0913 - what a request has
        self,
        method: str,
        path: str,
        *,
        places: Mapping[str, str] | None = None,
        json: object = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        """Send a request and return the response.

        ``path`` may have ``{places}``, which take their values from ``places``, as a lookup's path does. It
        goes out under the backend's policies: it may be retried, and refused without an attempt. Raise
        InvalidInput for a value that would make another path, and NoAnswer if no response serves the lookup.
        """
        filled_path = _fill(path, _texts(places))
        target = f"{filled_path}?{urlencode(_texts(query), quote_via=quote)}" if query else filled_path
        body = None if json is None else _encoded(json)
        filled = FilledRequest(method, target, dict(headers or {}), body, "application/json")
        reporter = AttemptReporter(self._ask.lookup, self._reading.lane, self._ask.trace_id)

        def fetch() -> Awaitable[tuple[Response, object]]:
            return self._backend.fetch(filled, self._reading, reporter.begin())

        call = Call(fetch, self._deadline, observer=reporter)
        response, value = await self._policies(call)
        return ClientResponse(response.status, response.headers, self._reading, response.body or b"", value)


class Clients:
    """The backends that the Python lookups of a process may ask, each opened when it is asked first."""

    def __init__(
        self, backends: Mapping[str, Settings], open_one: Callable[[str], tuple[Fetching, Runner]]
    ) -> None:
        """Take the HTTP backends that there are, and what opens one under its policies."""
        self._backends, self._open_one = backends, open_one
        self._open: dict[str, tuple[Fetching, Runner]] = {}

    def client(self, ask: Ask, name: str, *, deadline: float) -> BackendClient:
        """Return a client of a backend for a question; raise LookupFailed for one that is not there."""
        if name not in self._backends:
            msg = f"there is no HTTP backend {name!r} in the configuration"
            raise LookupFailed(msg)
        if name not in self._open:
            backend, policies = self._open_one(name)
            self._open[name] = backend, policies
        return BackendClient(*self._open[name], _reading_of(name, self._backends[name]), ask, deadline)

    async def close(self) -> None:
        """Close them."""
        for backend, _ in self._open.values():
            await backend.close()


def _texts(values: Mapping[str, object] | None) -> dict[str, str]:
    """Return values as variables have them; raise InvalidInput for null, and LookupFailed for no value."""
    texts = {}
    for name, value in (values or {}).items():
        if value is None:  # else somebody is looked up whose name is None
            raise InvalidInput(name)
        try:
            texts[name] = as_text(value)
        except (TypeError, ValueError) as error:
            msg = f"{name} is no value that can be sent: {type(error).__name__}"
            raise LookupFailed(msg) from None
    return texts


def _encoded(value: object) -> bytes:
    try:
        return as_json(value).encode()  # the numbers of a reply keep their digits
    except (TypeError, ValueError) as error:
        msg = f"the body is no JSON: {type(error).__name__}"
        raise LookupFailed(msg) from None


def _fill(path: str, values: Mapping[str, str]) -> str:
    """Return a path with its places filled; raise LookupFailed for one that is none, or InvalidInput."""
    if not path.startswith("/") or _NOT_IN_PATH.search(path) or climbs(path):
        msg = "a path begins with '/', and has no '?', '#', '.' or '..' between its slashes; use `query`"
        raise LookupFailed(msg)
    try:
        return fill_path(parse_template(path), values)
    except (ValueError, KeyError) as error:
        msg = f"the path has a place without a value, or a brace: {error}"
        raise LookupFailed(msg) from None


def _reading_of(name: str, settings: Settings) -> Lookup:
    """Return what stands for every lookup of a backend: its rules and its charset."""
    return Lookup(
        name,
        name,
        "",
        (),
        {},
        charset=find_charset(settings.charset) if settings.charset else None,
        rules=compile_answers(f"backends.{name}.answers", settings.answers, []),
    )
