"""The steps of a trial: what is asked, what comes back, what is made of it."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.core.errors import Code
from gateway.lookups.judged import Judged


class Given(NamedTuple):
    """A reply that is given, and not asked for: its body, and the status that it shall have."""

    body: bytes
    status: int = 200


class Question(NamedTuple):
    """What is asked, without secrets: ``line`` is the request line, the statement or the function."""

    line: str
    headers: Mapping[str, str] = {}
    body: str = ""
    parameters: Mapping[str, str] = {}


class Reply(NamedTuple):
    """What came back. ``status`` is None without HTTP. The secrets in ``body`` are hidden."""

    body: str
    size: int
    status: int | None = None
    headers: Mapping[str, str] = {}


class Trial(NamedTuple):
    """A trial, step by step. What was not reached is None. ``took`` is in seconds.

    ``code`` and ``reason`` are those of a worker. ``notes`` are for the author of the configuration.
    """

    lookup: str
    inputs: Mapping[str, str]
    question: Question | None
    reply: Reply | None
    judged: Judged | None
    code: Code
    reason: str
    took: float
    notes: tuple[str, ...]
