"""A backend that answers as a test has written it, and keeps what it was asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from multidict import CIMultiDict

from gateway.core.errors import BackendUnavailable, NoAnswer, TimedOut
from gateway.core.variables import as_json
from gateway.declared.lookup import Lookup
from gateway.lookups.answers import Response
from gateway.lookups.decoding import ACCEPTED
from gateway.lookups.sql_values import as_value

Fault = Literal["timeout", "refused", "broken"]
"""What can keep a reply from coming: no answer in time, no connection, one that breaks off."""

_FAULTS: Mapping[Fault, tuple[type[NoAnswer], str]] = {
    "timeout": (TimedOut, "no answer within the attempt_timeout"),
    "refused": (BackendUnavailable, "the connection was refused"),
    "broken": (BackendUnavailable, "the connection broke"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a backend was asked: by which ``lookup``, with which ``inputs``, and how.

    Without HTTP, ``method`` and ``path`` are empty. ``query`` has the pairs of the address, decoded.
    """

    lookup: str
    inputs: Mapping[str, str]
    method: str = ""
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the body as a JSON value; raise ValueError for none."""
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """A backend's reply: a response over HTTP, the ``rows`` of a database, or a ``fault`` in their place.

    ``json`` is a value, ``body`` a text or bytes of any other kind.
    """

    status: int = 200
    json: Any = None
    body: str | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] | None = None
    fault: Fault | None = None

    def raise_fault(self) -> None:
        """Raise the NoAnswer of the fault, if there is one."""
        if self.fault is not None:
            error, reason = _FAULTS[self.fault]
            raise error(reason)

    def response(self, lookup: Lookup) -> Response:
        """Return the response to a lookup; raise NoAnswer for a fault."""
        self.raise_fault()
        if self.body is None:
            content_type, body = "application/json", b"" if self.json is None else as_json(self.json).encode()
        else:
            content_type = ACCEPTED[lookup.reply].partition(",")[0]
            body = self.body.encode() if isinstance(self.body, str) else self.body
        return Response(self.status, CIMultiDict({"Content-Type": content_type, **self.headers}), body)

    def found(self, lookup: Lookup) -> object:
        """Return what a database gives: the first row, or all; raise NoAnswer for a fault."""
        self.raise_fault()
        rows = as_value(self.rows or [])
        if lookup.rows == "all":
            return rows
        return rows[0] if rows else None


class ScriptedBackend:
    """Answers each question as scripted: the replies in turn, the last one again and again.

    ``ScriptedBackend(json={...})`` is the short form for one reply. A function gets the :class:`Request` and
    returns the reply. ``requests`` has what was asked, oldest first.
    """

    def __init__(self, *replies: Reply, by: Callable[[Request], Reply] | None = None, **one: Any) -> None:  # noqa: ANN401 - the fields of a Reply
        """Take the replies, a function, or the fields of one reply."""
        if bool(replies) + (by is not None) + bool(one) > 1:
            msg = "give replies, or a function, or the fields of one reply"
            raise ValueError(msg)
        self._replies, self._by = list(replies) or [Reply(**one)], by
        self.requests: list[Request] = []

    def then(self, **one: Any) -> "ScriptedBackend":  # noqa: ANN401 - the fields of a Reply
        """Answer so from now on; return the backend."""
        self._replies, self._by = [Reply(**one)], None
        return self

    def answer(self, request: Request) -> Reply:
        """Return the reply to a question, and keep the question."""
        self.requests.append(request)
        if self._by is not None:
            return self._by(request)
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


def request_of(lookup: str, inputs: Mapping[str, str], method: str, target: str, **rest: Any) -> Request:  # noqa: ANN401
    """Return a request over HTTP by its target."""
    path, _, query = target.partition("?")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    return Request(lookup, inputs, method, path, pairs, **rest)
