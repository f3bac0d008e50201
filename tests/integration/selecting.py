"""SQL lookups as tests ask them, and the database of one customer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.core.errors import NoAnswer
from gateway.core.messages import Ask
from gateway.declared.catalog import Catalog, compile_catalog, read
from gateway.lookups.reply import Finding
from gateway.lookups.sql import SqlBackend
from gateway.resilience.policy import Call
from gateway.resilience.stack import stack
from tests.databases import PASSWORD, PostgreSql, find_postgresql

PROGRAMS = find_postgresql()
needs_postgresql = pytest.mark.skipif(PROGRAMS is None, reason="SQL lookups: PostgreSQL is not installed")
Asking = Callable[..., "asyncio.Future[Finding]"]

CUSTOMERS = """
create table customers (uid text primary key, tier text, since date, balance numeric(12, 2), visits integer);
insert into customers values ('u1', 'gold', '2024-02-29', 29.90, 3), ('u2', null, null, null, null);
"""
TIER = "select tier, since, balance, visits from customers where uid = :uid"
FOUND = {"tier": "gold", "since": "2024-02-29", "balance": "29.90", "visits": "3"}
VARIABLES = 'variables = { tier = "tier", since = "since", balance = "balance", visits = "visits" }'


def execute(server: PostgreSql, statements: str) -> list[tuple[object, ...]]:
    """Run statements as its owner; return the rows of the last one."""
    import psycopg  # noqa: PLC0415 - an extra

    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statements)
        return cursor.fetchall() if cursor.description else []


def declared(
    url: str, sql: str = TIER, more: str = VARIABLES, backend: str = "", attempt: str = "2s"
) -> Catalog:
    """Return the configuration of one database and one lookup."""
    text = (
        f'[backends.db]\nurl = "${{DSN}}"\nattempt_timeout = "{attempt}"\n{backend}\n'
        f'[lookups.tier]\nbackend = "db"\nsql = """{sql}"""\n{more}\n'
    )
    return compile_catalog(*read(text, {"DSN": url}))


@asynccontextmanager
async def asking(catalog: Catalog) -> AsyncIterator[Asking]:
    """Yield what asks the lookup, by its inputs, under the policies."""
    settings, lookup = catalog.settings.backends["db"], catalog.lookups["tier"]
    backend = SqlBackend(settings, "db")
    policies = stack(settings)

    async def ask(**inputs: str) -> Finding:
        async def make() -> Finding:
            return await backend.ask(lookup, Ask("tier", inputs, 1, "s1", "t1", 5.0))

        found: Finding = await policies(Call(make, asyncio.get_running_loop().time() + 10.0))
        return found

    try:
        yield ask  # type: ignore[misc] # a coroutine function
    finally:
        await backend.close()


async def why(answer: "asyncio.Future[Finding]") -> NoAnswer:
    """Return why there is no answer."""
    with pytest.raises(NoAnswer) as caught:
        await answer
    assert PASSWORD not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value


def sleepers(server: PostgreSql) -> int:
    """Return how many statements sleep in the database."""
    sql = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and state = 'active'"
    return int(str(execute(server, sql + " and pid <> pg_backend_pid()")[0][0]))
