"""Messages: a callback and its reply, a job and its answer, the question to a Python lookup."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from gateway.core.errors import Code


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

    ``age_ms`` is the age of the backend's answer when it was sent. It is long only after an outage. ``found``
    is False if the backend said that there is no such thing, and ``variables`` are those declared for that.
    """

    job_id: str
    code: Code
    info: str = ""
    variables: dict[str, str] = {}
    age_ms: float = 0.0
    found: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """The question to a Python lookup: its inputs, and the seconds ``left`` to answer."""

    lookup: str
    inputs: Mapping[str, str]
    app: int
    session: str
    trace_id: str
    left: float
