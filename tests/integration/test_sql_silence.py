"""SQL lookups against a PostgreSQL that falls silent: attempts end on time, and the next one is answered."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from signal import SIGCONT, SIGSTOP

import pytest

from gateway.core.errors import TimedOut
from gateway.declared.catalog import Catalog
from gateway.lookups.sql import SqlBackend
from tests.between import Between
from tests.databases import PostgreSql
from tests.desk import when
from tests.integration.selecting import (
    FOUND,
    TIER,
    asking,
    declared,
    execute,
    needs_postgresql,
    sleepers,
    why,
)

pytestmark = needs_postgresql
SLEEPS = "select cast(pg_sleep(cast(:seconds as float)) as text) || 'x' as tier"
ONE = 'variables = { tier = "tier" }'


@pytest.fixture
async def between(postgresql: PostgreSql) -> AsyncIterator[Between]:
    """A proxy before it."""
    async with Between(postgresql.port).serve() as proxy:
        yield proxy


def beyond(between: Between, sql: str = TIER, *, most: int = 5, attempts: int = 1) -> Catalog:
    """Return the configuration of the database behind the proxy."""
    url = f"postgresql://deskgate:s3cret@127.0.0.1:{between.port}/postgres"
    more = ONE if sql == SLEEPS else 'variables = { tier = "tier" }'
    return declared(url, sql, more, f"attempts = {attempts}\nconcurrency = {most}", "500ms")


def backends(server: PostgreSql) -> list[int]:
    """Return the processes of the server that serve others than us."""
    sql = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    return [int(str(row[0])) for row in execute(server, sql)]


async def test_connection_of_a_stopped_server_process_is_not_used_again(postgresql: PostgreSql) -> None:
    """Not even if it is the only one of the pool: the next lookup gets another."""
    catalog = declared(postgresql.url, backend="attempts = 1\nconcurrency = 1", attempt="500ms")
    async with asking(catalog) as ask:
        assert (await ask(uid="u1")).variables == FOUND
        (stopped,) = backends(postgresql)
        os.kill(stopped, SIGSTOP)
        try:
            begun = time.monotonic()
            assert isinstance(await why(ask(uid="u1")), TimedOut)
            assert time.monotonic() - begun < 3.0
            assert (await ask(uid="u1")).variables == FOUND
        finally:
            os.kill(stopped, SIGCONT)
        await when(lambda: stopped not in backends(postgresql))


async def test_connections_that_a_firewall_forgets_cost_one_attempt(between: Between) -> None:
    """Not one for each connection of the pool: the first one that is silent tells of the others."""
    async with asking(beyond(between)) as ask:
        await asyncio.gather(*(ask(uid="u1") for _ in range(5)))
        assert between.connections == 5
        between.forget()
        assert isinstance(await why(ask(uid="u1")), TimedOut)
        for _ in range(6):
            assert (await ask(uid="u1")).variables["tier"] == "gold"


async def test_retry_is_answered_after_a_failover(between: Between) -> None:
    """Its first attempt meets the old connection, and the second one a new one."""
    async with asking(beyond(between, attempts=2)) as ask:
        await asyncio.gather(*(ask(uid="u1") for _ in range(5)))
        between.forget()
        assert (await ask(uid="u1")).variables["tier"] == "gold"


async def test_lookup_is_answered_at_once_when_the_database_is_back(between: Between) -> None:
    """However many attempts it has left without an answer, and in whichever phase each of them was."""
    async with asking(beyond(between, SLEEPS)) as ask:
        await asyncio.gather(*(ask(seconds="0") for _ in range(4)))
        running = [asyncio.ensure_future(ask(seconds="0.3")) for _ in range(2)]
        await when(lambda: all(not one.done() for one in running))
        between.carrying.clear()
        for _ in range(2):
            asked = [asyncio.ensure_future(ask(seconds="0")) for _ in range(5)]
            for one in asked + running:
                assert isinstance(await why(one), TimedOut)
            running = []
        between.forget()
        begun = time.monotonic()
        for _ in range(8):
            assert (await ask(seconds="0")).variables == {"tier": "x"}
        assert time.monotonic() - begun < 3.0


async def test_connection_that_falls_silent_in_mid_statement_is_closed(
    between: Between, postgresql: PostgreSql
) -> None:
    """Though the request to end the statement gets no answer either."""
    async with asking(beyond(between, SLEEPS, most=1)) as ask:
        running = asyncio.ensure_future(ask(seconds="0.4"))
        await when(lambda: sleepers(postgresql))
        between.carrying.clear()
        assert isinstance(await why(running), TimedOut)
        between.forget()
        assert (await ask(seconds="0")).variables == {"tier": "x"}


async def test_backend_closes_while_the_database_is_silent(
    between: Between, postgresql: PostgreSql, caplog: pytest.LogCaptureFixture
) -> None:
    """In a second or two, with nothing left behind; and no driver writes beside the log."""
    async with asking(beyond(between, SLEEPS)) as ask:
        await asyncio.gather(*(ask(seconds="0") for _ in range(2)))
        running = [asyncio.ensure_future(ask(seconds="0.4")) for _ in range(3)]
        await when(lambda: sleepers(postgresql) == 3)
        between.carrying.clear()
        waiting = asyncio.ensure_future(ask(seconds="0"))
        await asyncio.sleep(0)
        begun = time.monotonic()
    assert time.monotonic() - begun < 4.0
    await asyncio.gather(*running, waiting, return_exceptions=True)
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_look_at_a_silent_database_ends(between: Between) -> None:
    """``deskgate check --connect`` waits for one attempt's time."""
    catalog = beyond(between)
    between.carrying.clear()
    database = SqlBackend(catalog.settings.backends["db"], "db")
    try:
        with pytest.raises(TimedOut):
            await database.explain(catalog.lookups["tier"])
    finally:
        await database.close()
