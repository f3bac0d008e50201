"""SQL lookups against a real PostgreSQL and a real SQLite: bound values, read alone, ended in time."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.core.errors import (
    BackendDenied,
    BackendRejected,
    BackendUnavailable,
    BadBackendReply,
    TimedOut,
)
from tests.databases import PASSWORD, PostgreSql
from tests.desk import when
from tests.integration.selecting import (
    CUSTOMERS,
    FOUND,
    PROGRAMS,
    TIER,
    VARIABLES,
    asking,
    declared,
    execute,
    needs_postgresql,
    sleepers,
    why,
)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file with the customers."""
    path = tmp_path / "crm.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(CUSTOMERS)
    connection.close()
    return f"sqlite:///{path}"


@needs_postgresql
async def test_row_of_postgresql_becomes_variables(postgresql: PostgreSql) -> None:
    """Numbers with their digits, dates in ISO 8601."""
    async with asking(declared(postgresql.url)) as ask:
        assert (await ask(uid="u1")).variables == FOUND


async def test_row_of_sqlite_becomes_variables(sqlite_url: str) -> None:
    """SQLite has no decimals of its own."""
    async with asking(declared(sqlite_url)) as ask:
        assert (await ask(uid="u1")).variables == FOUND | {"balance": "29.9"}


@pytest.mark.parametrize("text", ["x' or '1'='1", "u1'; drop table customers; --", "u1\\", "%", ":uid", "\0"])
@pytest.mark.parametrize("kind", [pytest.param("postgresql", marks=needs_postgresql), "sqlite"])
async def test_what_a_visitor_types_is_a_value(
    kind: str, text: str, sqlite_url: str, request: pytest.FixtureRequest
) -> None:
    """It is bound, never pasted."""
    url = sqlite_url if kind == "sqlite" else request.getfixturevalue("postgresql").url
    async with asking(declared(url, more=VARIABLES + '\nnot_found = { tier = "none" }')) as ask:
        if (kind, text) == ("postgresql", "\0"):  # it has no such text
            assert isinstance(await why(ask(uid=text)), BackendRejected)
        else:
            found = await ask(uid=text)
            assert (found.found, found.variables["tier"]) == (False, "none")
        assert (await ask(uid="u1")).variables["tier"] == "gold"


@needs_postgresql
async def test_no_row_is_not_found_where_that_is_declared(postgresql: PostgreSql) -> None:
    """Else the question was a wrong one. A row of nulls is judged by `empty`."""
    async with asking(declared(postgresql.url, more=VARIABLES + '\nnot_found = { tier = "none" }')) as ask:
        found = await ask(uid="nobody")
        assert (found.found, found.variables["tier"]) == (False, "none")
        assert (await ask(uid="u2")).found is False
    async with asking(declared(postgresql.url)) as ask:
        assert isinstance(await why(ask(uid="nobody")), BackendRejected)
        assert isinstance(await why(ask(uid="u2")), BadBackendReply)


@needs_postgresql
async def test_percent_sign_is_one(postgresql: PostgreSql) -> None:
    """Drivers take it for a place of their own."""
    sql = "select tier, 5 % 3 as visits, since, balance from customers where tier like 'g%d' and uid = :uid"
    async with asking(declared(postgresql.url, sql)) as ask:
        assert (await ask(uid="u1")).variables == FOUND | {"visits": "2"}


@needs_postgresql
async def test_all_rows_are_a_list_and_rules_judge_them(postgresql: PostgreSql) -> None:
    """As with any other backend."""
    sql = "select n from generate_series(1, cast(:count as integer)) as n"
    more = 'rows = "all"\nvariables = { last = "[-1].n", count = "length(@)" }\n'
    more += '[[lookups.tier.answers]]\nwhen = { "length(@)" = 3 }\nis = "unavailable"'
    async with asking(declared(postgresql.url, sql, more, "attempts = 1")) as ask:
        assert (await ask(count="250")).variables == {"last": "250", "count": "250"}
        assert isinstance(await why(ask(count="3")), BackendUnavailable)


@needs_postgresql
async def test_types_keep_their_words(postgresql: PostgreSql) -> None:
    """Whatever a database has: each is one text, or JSON."""
    sql = """select 19999999999999999.90::numeric as decimal,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as uuid,
        timestamptz '2024-02-29 12:30:00+08' at time zone 'utc' as at, array['a', 'b'] as tags,
        '{"a": {"b": 1}}'::jsonb as doc, true as yes, '10.0.0.0/8'::cidr as net,
        interval '90 seconds' as took,
        decode('00ff', 'hex') as raw, int4range(1, 5) as span, ':no' as colon, '12:30'::time as clock"""
    more = (
        "variables = { "
        + ", ".join(
            f'{n} = "{n}"'
            for n in (
                "decimal",
                "uuid",
                "at",
                "tags",
                "doc",
                "yes",
                "net",
                "took",
                "raw",
                "span",
                "colon",
                "clock",
            )
        )
        + " }"
    )
    async with asking(declared(postgresql.url, sql, more)) as ask:
        assert (await ask()).variables == {
            "decimal": "19999999999999999.90",
            "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "at": "2024-02-29T04:30:00",
            "tags": '["a","b"]',
            "doc": '{"a":{"b":1}}',
            "yes": "true",
            "net": "10.0.0.0/8",
            "took": "90.0",
            "raw": "00ff",
            "span": "[1, 5)",
            "colon": ":no",
            "clock": "12:30:00",
        }


@needs_postgresql
@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_numbers_in_documents_keep_their_digits(kind: str, postgresql: PostgreSql) -> None:
    """A statement that gathers rows with `json_agg` has its amounts there."""
    orders = '[{"total": 29.90}, {"total": 19999999999999999.99}, {"total": 12345678901234567890}]'
    sql = f"select '{orders}'::{kind} as orders, array['{orders}'::{kind}] as more, :uid as uid"
    totals = ", ".join(f't{i} = "orders[{i}].total"' for i in range(3))
    more = f'variables = {{ {totals}, again = "more[0][0].total", sum = "sum(orders[:2].total)" }}'
    async with asking(declared(postgresql.url, sql, more)) as ask:
        assert (await ask(uid="u1")).variables == {
            "t0": "29.90",
            "t1": "19999999999999999.99",
            "t2": "12345678901234567890",
            "again": "29.90",
            "sum": "20000000000000029.89",
        }


@needs_postgresql
async def test_statement_that_hangs_ends_in_the_database_too(postgresql: PostgreSql) -> None:
    """By its own limit; and when nobody waits for it any more."""
    sql = "select cast(pg_sleep(60) as text) as tier, :uid as uid"
    more = 'variables = { tier = "tier" }'
    async with asking(declared(postgresql.url, sql, more, "attempts = 1")) as ask:
        task = asyncio.ensure_future(ask(uid="u1"))
        await when(lambda: sleepers(postgresql))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await when(lambda: not sleepers(postgresql))
        error = await why(ask(uid="u1"))
        assert isinstance(error, TimedOut)
        await when(lambda: not sleepers(postgresql))


@needs_postgresql
async def test_lookups_read(postgresql: PostgreSql) -> None:
    """A statement that writes is refused by the transaction, whatever it looks like."""
    sql = "with gone as (delete from customers returning uid) select uid as tier from gone where uid = :uid"
    async with asking(declared(postgresql.url, sql, 'variables = { tier = "tier" }')) as ask:
        error = await why(ask(uid="u1"))
    assert isinstance(error, BackendRejected)
    assert execute(postgresql, "select count(*) from customers") == [(2,)]


async def test_sqlite_is_opened_to_be_read(tmp_path: Path, sqlite_url: str) -> None:
    """A file that is not there is not made."""
    async with asking(declared(f"sqlite:///{tmp_path}/none.db", backend="attempts = 1")) as ask:
        assert isinstance(await why(ask(uid="u1")), BackendUnavailable)
    assert not (tmp_path / "none.db").exists()
    async with asking(
        declared(sqlite_url, "select tier from nowhere where uid = :uid", 'variables = { tier = "tier" }')
    ) as ask:
        assert isinstance(await why(ask(uid="u1")), BackendRejected)


@needs_postgresql
async def test_failures_are_told_apart(postgresql: PostgreSql) -> None:
    """Without a word of the driver."""
    cases = {
        "selekt": ("select 1 as tier from nowhere where :uid = ''", postgresql.url, BackendRejected),
        "syntax": ("select from where :uid", postgresql.url, BackendRejected),
        "password": (TIER, postgresql.url.replace(PASSWORD, "wrong"), BackendDenied),
        "refused": (TIER, "postgresql://a:b@127.0.0.1:1/x", BackendUnavailable),
    }
    for sql, url, kind in cases.values():
        async with asking(declared(url, sql, 'variables = { tier = "tier" }', "attempts = 1")) as ask:
            assert isinstance(await why(ask(uid="u1")), kind)


@needs_postgresql
async def test_more_rows_than_fit_are_not_fetched(postgresql: PostgreSql) -> None:
    """A million of them would be the end of a worker."""
    sql = "select repeat('x', 100) as v from generate_series(1, 100000) as n where :uid <> ''"
    more = 'rows = "all"\nvariables = { tier = "[0].v" }'
    async with asking(declared(postgresql.url, sql, more)) as ask:
        assert "over 1000 rows" in str(await why(ask(uid="u1")))
    few = sql.replace("100000", "100")
    async with asking(declared(postgresql.url, few, more, 'max_reply = "1KiB"')) as ask:
        assert "over max_reply" in str(await why(ask(uid="u1")))


@needs_postgresql
async def test_database_that_is_restarted_is_asked_on_a_new_connection() -> None:
    """The dead connections of the pool are no failures."""
    assert PROGRAMS is not None
    with PostgreSql(PROGRAMS) as server:
        execute(server, CUSTOMERS)
        async with asking(declared(server.url)) as ask:
            await asyncio.gather(*(ask(uid="u1") for _ in range(5)))
            await asyncio.to_thread(server.stop)
            assert isinstance(await why(ask(uid="u1")), BackendUnavailable)
            await asyncio.to_thread(server.start)
            assert (await ask(uid="u1")).variables == FOUND


@needs_postgresql
async def test_more_callers_than_connections_take_turns(postgresql: PostgreSql) -> None:
    """A pool has as many connections as a process makes calls."""
    async with asking(declared(postgresql.url, backend="concurrency = 2")) as ask:
        found = await asyncio.gather(*(ask(uid="u1") for _ in range(30)))
    assert [one.variables for one in found] == [FOUND] * 30
