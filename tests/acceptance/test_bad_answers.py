"""Answers that are none: what one lookup suffers, no callback beside it does, on shared connections."""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import msgspec
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from structlog.typing import EventDict

from gateway.core.errors import Code
from gateway.core.records import Record
from gateway.crm.server import Crm
from gateway.declared.catalog import compile_catalog, read
from gateway.front.app import gateway
from tests.desk import ROOT, Desk, Heard, Place
from tests.processes import GatewayProcess, WorkerProcess
from workers.main import workers

pytestmark = pytest.mark.timeout(60)

BAD = """
[[routes]]
when = { node = "sized" }
lookups = ["sized"]

[[routes]]
when = { node = "bad" }
lookups = ["bad"]

[[routes]]
when = { node = "raising" }
lookups = ["beside", "raising"]

[lookups.sized]
python = "tests.acceptance.answers:sized"
inputs = ["bytes"]
variables = { text = "text" }

[lookups.beside]
python = "tests.acceptance.answers:sized"
inputs = ["bytes"]
variables = { beside = "text" }

[lookups.bad]
python = "tests.acceptance.answers:bad"
inputs = ["kind"]
variables = { text = "text" }

[lookups.raising]
python = "tests.acceptance.answers:raising"
inputs = ["kind"]
variables = { text = "text" }
"""


async def warm(here: Desk) -> None:
    """Return once a worker answers; it may still be starting."""
    while (await here.call("warm", node="order", orderId="warm")).code:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


@asynccontextmanager
async def deployed(place: Place, desk: Desk, **knobs: str) -> AsyncIterator[Desk]:
    """A gateway and a worker, warm, with Python lookups that are bad; give Desk at the gateway."""
    catalog = compile_catalog(*read(place.config(**knobs) + BAD, place.environ))
    async with workers(catalog, catalog.lanes, grace=1), gateway(catalog) as running:
        here = desk.at(running.callbacks)
        await warm(here)
        yield here


async def neighbours(here: Desk, count: int = 30) -> list[Heard]:
    """Return the replies to callbacks that share lanes and connections with all other traffic."""
    run = uuid4().hex[:8]
    calls = [here.call(f"{run}-{n}", node="sized", bytes=str(n)) for n in range(1, count, 2)]
    calls += [here.call(f"{run}-{n}", node="order", orderId=str(n)) for n in range(0, count, 2)]
    return await asyncio.gather(*calls)


def outcomes(lines: list[EventDict], lookup: str) -> list[str]:
    """Return what the workers have logged of a lookup's jobs."""
    return [line["outcome"] for line in lines if line.get("lookup") == lookup and "outcome" in line]


@pytest.mark.parametrize("kind", ["surrogate", "endless", "object", "digits"])
async def test_answer_that_cannot_be_written_down_is_a_bad_reply(kind: str, place: Place, desk: Desk) -> None:
    """A Python lookup may return anything; what no session variable can hold is no answer."""
    async with deployed(place, desk) as here:
        with capture_logs() as lines:
            bad, others = await asyncio.gather(here.call(node="bad", kind=kind), neighbours(here))
    assert bad.code == Code.BAD_BACKEND_REPLY
    assert [h.code for h in others] == [0] * len(others)
    assert outcomes(lines, "bad") == ["BAD_BACKEND_REPLY"]


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("no UTF-8", "BACKEND_REJECTED"),
        ("long", "BACKEND_REJECTED"),
        ("bare", "LOOKUP_FAILED"),
    ],
)
async def test_whatever_a_lookup_raises_fails_that_lookup_alone(
    kind: str, outcome: str, place: Place, desk: Desk
) -> None:
    """It is somebody else's code; even the job that is given back together with it must not suffer."""
    async with deployed(place, desk) as here:
        with capture_logs() as lines:
            bad, others = await asyncio.gather(
                here.call(node="raising", kind=kind, bytes="3"), neighbours(here)
            )
    assert bad.envelope["ErrorInfo"] == f"raising: {outcome}, nothing known"
    assert bad.variables == {"beside": "xxx"}
    assert [h.code for h in others] == [0] * len(others)
    assert outcomes(lines, "raising") == [outcome]


async def test_lookup_that_exits_does_not_end_its_worker(place: Place, desk: Desk, tmp_path: Path) -> None:
    """``sys.exit`` somewhere in a client library must not take down one worker after the other."""
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config() + BAD)
    fleet = WorkerProcess(config, place, PYTHONPATH=str(ROOT))
    async with GatewayProcess(config, place) as front, fleet as worker:
        here = desk.at(await front.address())
        await warm(here)
        heard = await here.call(node="raising", kind="exit", bytes="3")
        assert worker.running
        assert heard.envelope["ErrorInfo"] == "raising: LOOKUP_FAILED, nothing known"


async def test_reply_over_max_reply_fails_its_own_lookup_alone(place: Place, crm: Crm, desk: Desk) -> None:
    """The other half of the same callback is served, and so are all others, over the same connections."""
    crm.put('seed = 1\n[[rules]]\npath = "/customers/*"\nshares = { huge = 1 }\n')
    async with deployed(place, desk) as here:
        with capture_logs() as lines:
            both, others = await asyncio.gather(here.call(node="both", orderId="7"), neighbours(here))
    assert both.envelope["ErrorInfo"] == "customer: BAD_BACKEND_REPLY, fallback"
    assert (both.code, both.variables["order_id"]) == (Code.BAD_BACKEND_REPLY, "7")
    assert [h.code for h in others] == [0] * len(others)
    assert outcomes(lines, "customer") == ["BAD_BACKEND_REPLY"]


async def test_large_answer_of_a_python_lookup_is_handed_over_whole(place: Place, desk: Desk) -> None:
    """Up to the limit nothing is lost on the way."""
    async with deployed(place, desk) as here:
        large, others = await asyncio.gather(here.call(node="sized", bytes="1000000"), neighbours(here))
    assert (large.code, len(large.variables["text"])) == (0, 1_000_000)
    assert [h.code for h in others] == [0] * len(others)


@pytest.mark.parametrize("size", ["2000000", "50000000"], ids=["too large", "huge"])
async def test_too_large_an_answer_is_a_bad_reply_and_delays_nobody(
    size: str, place: Place, desk: Desk
) -> None:
    """Redis hangs up on a subscriber that 32 MB wait for, and every callback's answers come by that one."""
    async with deployed(place, desk) as here:
        with capture_logs() as lines:
            bad, others = await asyncio.gather(here.call(node="sized", bytes=size), neighbours(here, 100))
    assert bad.code == Code.BAD_BACKEND_REPLY
    assert [h.code for h in others] == [0] * len(others)
    assert outcomes(lines, "sized").count("BAD_BACKEND_REPLY") == 1


class Garbage(NamedTuple):
    """Bytes that are not what they should be, and how the fault in them is called."""

    kind: str
    data: bytes
    fault: str


def packed(value: object) -> bytes:
    """Return a value as msgpack."""
    return msgspec.msgpack.encode(value)


NOW = packed(1.8e12)
DEEP = b"\x91" * 100_000
TRUNCATED, NOT_UTF_8, TOO_DEEP = "truncated", "'utf-8' codec can't decode", "maximum recursion depth exceeded"
ANYWHERE = [
    Garbage("nothing", b"", TRUNCATED),
    Garbage("text", b"this is no answer and no record, but it is long enough for one", "Expected `array`"),
    Garbage("no msgpack", b"\xc1" * 40, "invalid opcode"),
    Garbage("arrays in arrays", DEEP, "got 1"),
]
PUSHES = {
    "replies": [
        Garbage("cut off", b"\x91\x94\xa6job-id\x00", TRUNCATED),
        Garbage("no UTF-8", b"\x91\x94\xa2\xff\xfe\x00\xa0\x80", NOT_UTF_8),
        Garbage("another code", packed([["job-id", 5, "", {}]]), "Invalid enum value 5"),
        Garbage(
            "other types", packed([[1, 2, 3, 4, 5, 6, 7, 8]]), "Expected `str`, got `int` - at `$[0][0]`"
        ),
        Garbage("no variables", packed([["job-id", 0, "", {"order_id": 1}]]), "at `$[0][3][...]`"),
        Garbage("nested deeply", b"\x91\x98\xa6job-id\x00\xa0\x80\x00\xc3\x00" + DEEP, TOO_DEEP),
    ],
    "jobs": [
        Garbage("cut off", b"\x92" + NOW + b"\x91\x93\xa6job-id", TRUNCATED),
        Garbage("no UTF-8", b"\x92" + NOW + b"\x91\x93\xa2\xff\xfe\x01\xa0", NOT_UTF_8),
        Garbage("other types", packed([1.8e12, [[1, 2, 3]]]), "Expected `str`, got `int` - at `$[1][0][0]`"),
        Garbage("no time", packed(["now", []]), "Expected `float`, got `str` - at `$[0]`"),
        Garbage("a time without end", packed([math.inf, []]), "not finite"),
        Garbage("no body", packed([1.8e12, [["job-id", 1]]]), "length 3, got 2 - at `$[1][0]`"),
        Garbage("nested deeply", b"\x92" + NOW + b"\x91\x93\xa6job-id\x01" + DEEP, TOO_DEEP),
    ],
    "forget": [
        Garbage("cut off", b"\x92" + NOW + b"\x91\xa8session", TRUNCATED),
        Garbage("no UTF-8", b"\x92" + NOW + b"\x91\xa2\xff\xfe", NOT_UTF_8),
        Garbage("other types", packed([1.8e12, [1]]), "Expected `str`, got `int` - at `$[1][0]`"),
        Garbage("no time", packed(["now", []]), "Expected `float`, got `str` - at `$[0]`"),
        Garbage("a time without end", packed([math.inf, ["1400000001:s1"]]), "not finite"),
        Garbage("a time that is none", packed([math.nan, ["1400000001:s1"]]), "not finite"),
    ],
}
RECORDS = [
    Garbage("cut off", b"\x94" + NOW + b"\x81\xa8order_id", TRUNCATED),
    Garbage("no UTF-8", b"\x94" + NOW + b"\x81\xa8order_id\xa2\xff\xfe\xa0\xc3", NOT_UTF_8),
    Garbage("other types", packed([1, 2, 3, 4, 5, 6, 7, 8]), "Expected `object`, got `int` - at `$[1]`"),
    Garbage("no variables", packed([1.8e12, {"order_id": 1}, ""]), "at `$[1][...]`"),
    Garbage("nested deeply", b"\x95" + NOW + b"\x80\xa0\xc3" + DEEP, TOO_DEEP),
    Garbage("no time", packed(["now", {"order_id": "1"}]), "Expected `float`, got `str` - at `$[0]`"),
]
LOGGED_AS = {"replies": "answer", "jobs": "job", "forget": "forget"}


@pytest.mark.parametrize(
    ("channel", "garbage"),
    [
        pytest.param(channel, garbage, id=f"{channel}, {garbage.kind}")
        for channel in PUSHES
        for garbage in (*ANYWHERE, *PUSHES[channel])
    ],
)
async def test_garbage_on_the_channels_is_dropped_and_nothing_else(
    channel: str, garbage: Garbage, place: Place, desk: Desk
) -> None:
    """A push that cannot be read must not end the reading: every answer of the process comes by it."""
    async with deployed(place, desk, budget="4s") as here, Redis.from_url(place.redis_url) as redis:
        channels = await redis.pubsub_channels(f"{place.prefix}:{channel}*")
        with capture_logs() as lines:
            heard = [await redis.publish(one, garbage.data) for one in channels]
            others = await neighbours(here)
    assert heard
    assert heard == [1] * len(channels)
    assert [h.code for h in others] == [0] * len(others)
    assert max(h.took for h in others) < 3.0  # heard of, not found by looking at the records at last
    errors = [line["error"] for line in lines if line["event"] == f"{LOGGED_AS[channel]}.unreadable"]
    assert len(errors) == len(channels)
    assert all(garbage.fault in error for error in errors), errors


@pytest.mark.parametrize("garbage", [*ANYWHERE, *RECORDS], ids=lambda garbage: garbage.kind)
async def test_record_that_cannot_be_read_is_asked_for_anew(
    garbage: Garbage, place: Place, crm: Crm, desk: Desk
) -> None:
    """Another version may have written it, or another program; it must not be in the way until it lapses."""
    with pytest.raises((msgspec.MsgspecError, UnicodeError, RecursionError), match=re.escape(garbage.fault)):
        msgspec.msgpack.decode(garbage.data, type=Record)
    catalog = place.catalog()
    async with workers(catalog, catalog.lanes, grace=1):
        async with gateway(catalog) as running:
            await warm(desk.at(running.callbacks))
            first = await desk.at(running.callbacks).call(node="both", orderId="1")
        async with Redis.from_url(place.redis_url) as redis:
            records = [key async for key in redis.scan_iter(f"{place.prefix}:record:*:s1:order:*")]
            for record in records:
                assert await redis.set(record, garbage.data, keepttl=True)
        calls = sum(crm.stats.calls.values())
        for asked in (1, 1):  # once from the backend, then from the record that it left
            async with gateway(catalog) as running:  # with nothing in memory
                again = await desk.at(running.callbacks).call(node="both", orderId="1")
            assert (again.code, again.variables) == (0, first.variables)
            assert sum(crm.stats.calls.values()) - calls == asked
        assert len(records) == 1
