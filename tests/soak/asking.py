"""Asking without HTTP: a gateway's side of the hand-off, and what came of each lookup."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import NamedTuple

from gateway.core.errors import Code, QueueUnavailable
from gateway.core.messages import Job
from gateway.core.records import record_name
from gateway.declared.catalog import Catalog
from gateway.queue.asked import Asked
from gateway.queue.hand_off import HandOff
from gateway.queue.jobs import Wanted
from gateway.records.memory import RecordMemory
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink

APP = 1400000001
BUDGET = 3.0
"""Seconds from the beginning of a lookup to its deadline."""

CONFIG = """
[redis]
url = "{url}"
prefix = "soak"
timeout = "2s"                    # a stall of a shared machine is no outage

[apps.1400000001]
signature = "off"

[[routes]]
lookups = ["echo"]

[lookups.echo]
python = "tests.soak.lookups:echo"
inputs = ["number"]
variables = {{ echo = "echo" }}
fresh = "0s"
stale_if_error = "1h"
"""
PREFIX = "soak"

OK, KEPT, WRONG = "OK", "KEPT", "WRONG"
"""Answered live, answered by a record, answered with what was not asked: beside the names of the codes."""

_STATES = {"REFUSED": Code.OVERLOADED.name, "UNATTENDED": Code.NO_WORKERS.name}
_traces = count()


class Outcome(NamedTuple):
    """The outcome of a lookup. Times are on the monotonic clock, which all processes of a host share."""

    number: int
    code: str
    begun: float
    ended: float

    @property
    def delay(self) -> float:
        """Seconds between the deadline and the answer to the caller."""
        return self.ended - self.begun - BUDGET


@asynccontextmanager
async def hand_off(catalog: Catalog) -> AsyncIterator[HandOff]:
    """A gateway's side of the queue."""
    settings = catalog.settings
    link = RedisLink(settings.redis.url, settings.redis.timeout)
    side = HandOff(link, Keys(settings.redis.prefix), RecordMemory(1000))
    await link.start()
    await side.replies.start(patience=2.0)
    try:
        yield side
    finally:
        await side.replies.close()
        await link.close()


async def ask(side: HandOff, catalog: Catalog, number: int, *, fresh: float = 0.0) -> Outcome:
    """Begin a lookup, wait for its answer, and return what came of it.

    A record younger than ``fresh`` seconds is an answer too.
    """
    begun = time.monotonic()
    deadline = begun + BUDGET
    try:
        (asked,) = await side.begin([_wanted(side, catalog, number, fresh)], deadline)
        if asked.state.name not in _STATES:
            await side.wait([asked], deadline)
        code = _code(asked, str(number))
    except QueueUnavailable as error:
        code = error.code.name
    return Outcome(number, code, begun, time.monotonic())


def _wanted(side: HandOff, catalog: Catalog, number: int, fresh: float) -> Wanted:
    lookup, inputs, session = catalog.lookups["echo"], {"number": str(number)}, f"s{number}"
    record = record_name(APP, session, lookup.name, lookup.version, inputs)
    trace = f"{side.replies.channel.rpartition(':')[2]}-{next(_traces)}"
    return Wanted(
        Job(lookup.name, inputs, APP, session, record, trace, version=lookup.version),
        lookup.lane,
        fresh,
        lookup.overrun,
    )


def _code(asked: Asked, expected: str) -> str:
    if asked.state.name in _STATES:
        return _STATES[asked.state.name]
    if asked.state.name == "FRESH":
        return KEPT if asked.known and asked.known.variables == {"echo": expected} else WRONG
    if asked.answer is None:
        return Code.TIMEOUT.name
    if asked.answer.code:
        return asked.answer.code.name
    return OK if asked.answer.variables == {"echo": expected} else WRONG
