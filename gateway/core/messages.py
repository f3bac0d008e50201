"""Messages: a callback and its reply, a job and its answer, the question to a Python lookup."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.core.errors import Code, LookupFailed


class Callback(msgspec.Struct, frozen=True):
    """One POST from Desk, verified and decoded. ``user`` is ``""`` if the flow does not send it."""

    app: int
    session: str
    user: str
    path: str
    variables: Mapping[str, str]


class SessionEvent(msgspec.Struct, frozen=True):
    """Something that happened in a session, verified and decoded.

    ``user`` is ``""`` if the event does not name one. Lookups can read ``variables``. ``marks`` identify the
    event: two events that share a mark are one event and its retry.
    """

    app: int
    session: str
    user: str
    name: str
    variables: Mapping[str, str]
    marks: tuple[str, ...]


class Reply(msgspec.Struct, frozen=True):
    """The reply to Desk: a code, one line for people, and variables for the session."""

    code: Code
    info: str = ""
    variables: Mapping[str, str] = {}


class Job(msgspec.Struct, frozen=True, array_like=True):
    """A lookup on its way to a worker, with everything that the worker must know.

    The answer is kept under the name ``record``. The user's other sessions find it under ``user_record``, or
    do not if that is ``""``. ``trace_id`` joins the two sides' log lines. ``user`` is the session's user,
    ``""`` if not known. ``version`` is the lookup's: a worker with another one has another configuration.
    """

    lookup: str
    inputs: dict[str, str]
    app: int
    session: str
    record: str
    trace_id: str
    user_record: str = ""
    user: str = ""
    version: str = ""

    def __repr__(self) -> str:
        """Leave the inputs' values out: arq logs the arguments of a job."""
        return f"Job({self.lookup}, trace_id={self.trace_id})"


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a job: code 0 with ``variables``, or another code with ``info`` for people.

    ``found`` is False if the backend said that there is no such thing, and ``variables`` are those declared
    for that. ``given_ms`` is when the backend gave the answer, on the Redis server's clock: after an outage
    it may be long ago. Without it, ``age_ms`` is the age of the answer when it was sent; gateways of 0.2.0
    read that alone.
    """

    job_id: str
    code: Code
    info: str = ""
    variables: dict[str, str] = {}
    age_ms: float = 0.0
    found: bool = True
    given_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """The question to a Python lookup: its inputs, and the seconds ``left`` to answer.

    ``user`` is the session's user, ``""`` if not known. ``traceparent`` is for the header of that name in
    calls that the lookup makes by itself (W3C Trace Context). ``options`` are those of the lookup's backend
    and of the lookup itself. ``state`` is what the backend's hook ``open`` has returned.
    ``log("text", key=value)`` writes a line into the log, with the lookup, the session and the trace id.
    """

    lookup: str
    inputs: Mapping[str, str]
    app: int
    session: str
    trace_id: str
    left: float
    user: str = ""
    traceparent: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    state: Any = field(default=None, repr=False)
    log: Callable[..., None] = field(default=lambda _text, **_fields: None, repr=False)
    client: Callable[[str], Any] | None = field(default=None, repr=False)

    def backend(self, name: str) -> Any:  # noqa: ANN401 - a BackendClient, of lookups/client.py
        """Return an HTTP client of a declared backend, under its credentials and policies.

        It has ``get``, ``post`` and ``request``. Raise LookupFailed for a backend that is not declared.
        """
        if self.client is None:
            msg = "backends can be asked inside of a lookup alone"
            raise LookupFailed(msg)
        return self.client(name)
