"""``deskgate check --connect``: Redis tried with all that is done there, and backends looked up."""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

import aiohttp
from yarl import URL

from gateway.core.errors import Code, NoAnswer, QueueUnavailable
from gateway.core.messages import Answer, Job
from gateway.core.records import record_name, session_name
from gateway.declared.catalog import Catalog
from gateway.declared.mask import mask_of
from gateway.declared.reading import ConfigFaults
from gateway.declared.redis_address import read_address
from gateway.fleet.board import SWAP, SwapArguments, SwapKeys
from gateway.forgetting.forget import FORGET, forget_arguments
from gateway.history.recorder import KEEP, KeepArguments
from gateway.lookups.build import open_backend
from gateway.lookups.credentials import try_grant
from gateway.lookups.credentials.grants import GrantFailed
from gateway.lookups.failures import failure_of
from gateway.lookups.reach import Reach
from gateway.lookups.sql import SqlBackend
from gateway.queue.begin import BeginScript
from gateway.queue.finish import WorkerSide
from gateway.queue.jobs import State, Wanted
from gateway.resilience.board import Board
from gateway.tools.fleet import board_for
from gateway.wire.connection import OUTAGE
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from gateway.wire.refusals import words_of
from gateway.wire.subscription import Subscription

_PATIENCE = 5.0
_OLDEST = 7
_LANE = "check"


class Finding(NamedTuple):
    """What was tried, whether it works, and what came of it; a ``warning`` works, and may surprise."""

    what: str
    works: bool
    said: str
    warning: bool = False


async def look(catalog: Catalog, redis_url: str) -> AsyncIterator[Finding]:
    """Try everything that the configuration reaches, part by part. Nothing is left behind."""
    async for finding in _look_at_redis(catalog, redis_url):
        yield finding
    for lane in catalog.lanes:
        if catalog.backend(lane).speaks == "python":
            yield _import_python(catalog, lane)
            continue
        if catalog.backend(lane).speaks == "sql":
            yield await _look_at_database(catalog, lane)
            continue
        yield await _look_at_backend(catalog, lane)
        if (granted := await _try_grant(catalog, redis_url, lane)) is not None:
            yield granted


async def _look_at_redis(catalog: Catalog, url: str) -> AsyncIterator[Finding]:
    settings, address = catalog.settings.redis, read_address(url)
    keys = Keys(f"{settings.prefix}:check:{uuid4().hex}")
    link = RedisLink(url, _PATIENCE, settings.connect_timeout)
    begun = time.monotonic()
    try:
        await link.start()
        try:
            await link.execute("PING")
        except QueueUnavailable as error:
            yield Finding("redis", works=False, said=f"{address}: {_reason(link, error)}")
            return
        yield Finding("redis", works=True, said=f"{address} answers, after {_ms(begun)}")
        for finding in await _look_at_server(link):
            yield finding
        yield await _try_queue(link, keys)
        yield await _try_channel(link, keys)
    finally:
        await link.close()


async def _look_at_server(link: RedisLink) -> list[Finding]:
    """Return what the server says of itself. Where it may not be asked, that is no fault."""
    try:
        text = (await link.execute("INFO", "all")).decode(errors="replace")
    except QueueUnavailable:
        return [Finding("server", works=True, said="does not say what it is: no right to INFO")]
    info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    name = info.get("server_name", "redis")
    version = info.get("valkey_version") or info.get("redis_version", "0")
    major = int(info.get("redis_version", "0").partition(".")[0])
    found = [
        Finding("server", works=major >= _OLDEST, said=f"{name} {version}; at least {_OLDEST} is needed")
    ]
    if info.get("cluster_enabled") == "1":
        said = "is a Cluster, whose keys lie on several servers; name one server or a Sentinel"
        found.append(Finding("server", works=False, said=said))
    policy, most = info.get("maxmemory_policy", "noeviction"), info.get("maxmemory", "0")
    if policy != "noeviction" and most != "0":
        said = f"maxmemory-policy {policy} may throw jobs away without a word; use noeviction"
        found.append(Finding("server", works=True, said=said, warning=True))
    return found


async def _try_queue(link: RedisLink, keys: Keys) -> Finding:
    """Begin a job, take it, finish it, and forget its session, as gateways and workers do."""
    session = "check"
    record = record_name(0, session, _LANE, "", {})
    job = Job(_LANE, {}, 0, session, record, uuid4().hex)
    gateway = BeginScript(link, keys, keys.replies(_LANE))
    worker = WorkerSide(link, keys, _LANE, keys.jobs(f"{_LANE}:0.check"), 1.0)
    try:
        _, (begun,) = await gateway.run([(Wanted(job, _LANE, 0.0, 1.0, indexed=60.0), 10.0)])
        if begun.state is State.FAILED:
            return Finding("jobs", works=False, said=f"refused: {await _ask_why(link)}")
        (taken,) = await worker.sweep(1, 0)
        answer = Answer(taken.job_id, Code.OK, "", {})
        await worker.finish(taken, answer, time.monotonic(), 60.0, wants=False)
        name = session_name(0, session)
        once = KeepArguments(keys.histories(), keys.history(""), keys.void(""), 1000, 1, 1)
        await link.run(KEEP, [keys.history(name)], [*once, 0, "", b"{}"])
        await link.run(FORGET, *forget_arguments(keys, [name]))
        await link.run(
            SWAP, SwapKeys(keys.board(_LANE)), SwapArguments(keys.fleet(), _LANE, 0.0, b"\x90", 1000)
        )
    except QueueUnavailable as error:
        return Finding("jobs", works=False, said=f"refused: {_reason(link, error)}")
    finally:
        left = [keys.record(record), keys.flight(record), keys.lane(_LANE), keys.free(_LANE)]
        left += [keys.void(session_name(0, session)), keys.last_forgotten()]
        with suppress(QueueUnavailable):
            await link.execute("DEL", *left, keys.pace(_LANE), keys.forgotten(), keys.board(_LANE))
    return Finding(
        "jobs", works=True, said="are begun, taken, finished and forgotten; the fleet's board can be changed"
    )


async def _ask_why(link: RedisLink) -> str:
    try:
        await link.probe()
    except QueueUnavailable as error:
        return _reason(link, error)
    return "see redis.refused above"


async def _try_channel(link: RedisLink, keys: Keys) -> Finding:
    subscription = Subscription(link, keys.replies(_LANE), lambda _: None)
    try:
        await subscription.start(_PATIENCE)
        works = subscription.present.is_set()
    finally:
        await subscription.close()
    said = "can be listened to" if works else "cannot be listened to: the user needs &PREFIX:* and +subscribe"
    return Finding("channels", works=works, said=said)


def _import_python(catalog: Catalog, lane: str) -> Finding:
    try:
        open_backend(catalog, lane, Board(), bulkhead=False)
    except ImportError as error:
        return Finding(lane, works=False, said=str(error))
    return Finding(lane, works=True, said="every function is there")


async def _look_at_backend(catalog: Catalog, lane: str) -> Finding:
    """Return whether a backend answers at all. Any answer will do: nobody knows a question that is safe."""
    settings = catalog.backend(lane)
    timeout = aiohttp.ClientTimeout(total=settings.attempt_timeout)
    begun = time.monotonic()
    shown = mask_of(catalog.settings).text(str(URL(settings.url).with_user(None)))  # a path may have a token
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.head(settings.url, allow_redirects=False, **Reach(settings).arguments) as response,
        ):
            said = f"{shown} answers {response.status}, after {_ms(begun)}"
    except TimeoutError:
        limit = f"{settings.attempt_timeout:g} s"
        return Finding(lane, works=False, said=f"{shown} does not answer within {limit}")
    except (aiohttp.ClientError, OSError) as error:
        said = f"{shown}: {failure_of(error, proxied=settings.proxy is not None)}"
        return Finding(lane, works=False, said=said)
    return Finding(lane, works=True, said=said)


async def _look_at_database(catalog: Catalog, lane: str) -> Finding:
    """Return whether a database takes the statement of each lookup, without running it."""
    begun, name = time.monotonic(), ""
    try:
        database = SqlBackend(catalog.backend(lane), lane)
        try:
            for lookup in catalog.lookups.values():
                if lookup.lane == lane:
                    name = lookup.name
                    await database.explain(lookup)
        finally:
            await database.close()
    except (NoAnswer, ImportError) as error:
        return Finding(lane, works=False, said=f"lookups.{name}: {error}" if name else str(error))
    return Finding(lane, works=True, said=f"takes every statement, after {_ms(begun)}")


async def _try_grant(catalog: Catalog, redis_url: str, lane: str) -> Finding | None:
    """Return whether a token can be had, None for a backend that wants none."""
    backend = catalog.backend(lane)
    try:
        async with board_for(catalog, redis_url, [backend]) as board:
            said = await try_grant(backend, lane, board)
    except (GrantFailed, NoAnswer, ConfigFaults) as error:
        return Finding(lane, works=False, said=str(error))
    return None if said is None else Finding(lane, works=True, said=said)


def _reason(link: RedisLink, error: QueueUnavailable) -> str:
    """Return why a call failed: what Redis said, or why it cannot be reached."""
    cause: BaseException = link.failure or error.__cause__ or error
    return (
        words_of(cause) if isinstance(cause, OUTAGE) or not str(cause) else f"{type(cause).__name__}: {cause}"
    )


def _ms(begun: float) -> str:
    return f"{(time.monotonic() - begun) * 1000:.0f} ms"
