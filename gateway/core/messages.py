"""What travels: a callback and its reply; a job and its answer; what a Python lookup is asked."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from gateway.core.errors import Code


class Callback(msgspec.Struct, frozen=True):
    """One POST from Desk, verified and decoded; ``user`` is ``""`` when the flow does not send it."""

    app: int
    session: str
    user: str
    path: str
    variables: Mapping[str, str]


class SessionEvent(msgspec.Struct, frozen=True):
    """Something that happened in a session, verified and decoded.

    ``user`` is ``""`` when the event does not say, ``variables`` are what lookups can read of it. ``marks``
    tell it from others: an event that shares one with another is its retry.
    """

    app: int
    session: str
    user: str
    name: str
    variables: Mapping[str, str]
    marks: tuple[str, ...]


class Reply(msgspec.Struct, frozen=True):
    """What goes back to Desk: a code, one line for people, and variables for the session."""

    code: Code
    info: str = ""
    variables: Mapping[str, str] = {}


class Job(msgspec.Struct, frozen=True, array_like=True):
    """A lookup on its way to a worker: everything that the worker has to know.

    ``record`` is the name under which the answer is kept, and ``user_record`` the one under which the user's
    other sessions find it, ``""`` when they do not. ``trace_id`` joins the two sides' log lines,
    ``user`` is whose session it is, ``""`` when that is not known.
    """

    lookup: str
    inputs: dict[str, str]
    app: int
    session: str
    record: str
    trace_id: str
    user_record: str = ""
    user: str = ""

    def __repr__(self) -> str:
        """Leave the inputs' values out: arq logs the arguments of a job."""
        return f"Job({self.lookup}, trace_id={self.trace_id})"


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came back for a job: code 0 with ``variables``, or another code with ``info`` for people.

    ``age_ms`` is how long ago the backend gave it when it was sent: more than a moment only after an outage.
    """

    job_id: str
    code: Code
    info: str = ""
    variables: dict[str, str] = {}
    age_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """What a Python lookup is given: its inputs, and the seconds ``left`` to answer in."""

    lookup: str
    inputs: Mapping[str, str]
    app: int
    session: str
    trace_id: str
    left: float
