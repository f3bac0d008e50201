"""Backends as Python lookups ask them: an HTTP client under the credentials and policies of a backend."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from gateway.core.errors import LookupFailed
from gateway.declared.backend import Backend as Settings
from gateway.declared.request import FilledRequest
from gateway.lookups.http import HttpBackend
from gateway.resilience.policy import Call
from gateway.resilience.stack import Runner


@dataclass(frozen=True, slots=True, repr=False)
class ClientResponse:
    """A response with a status below 500 that is no refusal of our credentials and asks for no pause."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self) -> str:
        """Return the body as text; what is not UTF-8 is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the body as a JSON value; raise ValueError for one that is none."""
        return json.loads(self.body)


class BackendClient:
    """Asks one backend for one lookup, until the lookup's deadline on the monotonic clock."""

    def __init__(self, backend: HttpBackend, policies: Runner, deadline: float) -> None:
        """Take the backend, and the policies around it."""
        self._backend, self._policies, self._deadline = backend, policies, deadline

    async def get(
        self, path: str, *, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> ClientResponse:
        """Send a GET request: see :meth:`request`."""
        return await self.request("GET", path, query=query, headers=headers)

    async def post(
        self,
        path: str,
        *,
        json: object = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        """Send a POST request with a JSON body: see :meth:`request`."""
        return await self.request("POST", path, json=json, query=query, headers=headers)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ClientResponse:
        """Send a request to ``path``, percent-encoded by its caller, and return the response.

        It goes out under the backend's policies: it may be retried, and refused without an attempt. Raise
        NoAnswer if there is no response, or one that says that the backend cannot serve us now.
        """
        if not path.startswith("/"):
            msg = f"a path begins with '/', not {path[:1]!r}"
            raise LookupFailed(msg)
        target = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        body = None if json is None else _encoded(json)
        filled = FilledRequest(method, target, dict(headers or {}), body, "application/json")
        call = Call(partial(self._backend.fetch, filled), self._deadline)
        response = await self._policies(call)
        return ClientResponse(response.status, response.headers, response.body or b"")


class Clients:
    """The backends that the Python lookups of a process may ask, each opened when it is asked first."""

    def __init__(
        self, backends: Mapping[str, Settings], open_one: Callable[[str], tuple[HttpBackend, Runner]]
    ) -> None:
        """Take the backends that there are, and what opens one under its policies."""
        self._backends, self._open_one = backends, open_one
        self._open: dict[str, tuple[HttpBackend, Runner]] = {}

    def client(self, name: str, *, left: float) -> BackendClient:
        """Return a client of a backend, for so many seconds; raise LookupFailed for one that is not there."""
        if name not in self._backends or self._backends[name].speaks != "http":
            msg = f"there is no HTTP backend {name!r} in the configuration"
            raise LookupFailed(msg)
        if name not in self._open:
            backend, policies = self._open_one(name)
            self._open[name] = backend, policies
        return BackendClient(*self._open[name], time.monotonic() + left)

    async def close(self) -> None:
        """Close them."""
        for backend, _ in self._open.values():
            await backend.close()


def _encoded(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        msg = f"the body is no JSON: {type(error).__name__}"
        raise LookupFailed(msg) from None
