"""SQL lookups against a real MariaDB: as those against PostgreSQL, with the words of MySQL."""

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest

from gateway.core.errors import BackendDenied, BackendRejected, BackendUnavailable, TimedOut
from tests.integration.selecting import TIER, asking, declared, why
from tests.mariadb import CLIENT, INSTALL, PASSWORD, SERVER, MariaDb

pytestmark = [
    pytest.mark.skipif(None in {SERVER, INSTALL, CLIENT}, reason="SQL lookups: MariaDB is not installed"),
    pytest.mark.timeout(120),
]
CUSTOMERS = """use crm;
alter database crm character set utf8mb4;
create table customers
    (uid varchar(40) primary key, tier text, since date, balance decimal(12, 2), visits int);
insert into customers values ('u1', 'gold', '2024-02-29', 29.90, 3), ('u2', null, null, null, null);
insert into customers (uid, tier) values ('u3', '客户 🙂');
"""
FOUND = {"tier": "gold", "since": "2024-02-29", "balance": "29.90", "visits": "3"}
ONE = 'variables = { tier = "tier" }'


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    """A MariaDB with the customers."""
    with MariaDb() as server:
        server.execute(CUSTOMERS)
        yield server


async def test_row_becomes_variables(mariadb: MariaDb) -> None:
    """Numbers keep their digits, a date is a date; no row is no answer."""
    async with asking(declared(mariadb.url)) as ask:
        assert (await ask(uid="u1")).variables == FOUND
        assert (await ask(uid="u3")).variables["tier"] == "客户 🙂"
        assert isinstance(await why(ask(uid="nobody")), BackendRejected)


@pytest.mark.parametrize("text", ["' or '1'='1", "u1' -- ", "\\' or 1=1 #", "%", "客户", "u1\x00"])
async def test_what_a_visitor_types_is_a_value(text: str, mariadb: MariaDb) -> None:
    """Whatever it is."""
    async with asking(declared(mariadb.url, more=ONE + '\nnot_found = { tier = "none" }')) as ask:
        assert (await ask(uid=text)).found is False


async def test_statement_that_hangs_ends_in_the_database_too(mariadb: MariaDb) -> None:
    """By the limit that the server keeps; and nobody waits longer for it."""
    sql = "select cast(sleep(30) as char) as tier from customers where uid = :uid"
    async with asking(declared(mariadb.url, sql, ONE, "attempts = 1", "500ms")) as ask:
        begun = time.monotonic()
        assert isinstance(await why(ask(uid="u1")), TimedOut)
        assert time.monotonic() - begun < 1.0
        await asyncio.to_thread(_until_quiet, mariadb)


def _until_quiet(mariadb: MariaDb) -> None:
    runs = "select count(*) from information_schema.processlist where info like '%sleep(30)%'"
    while mariadb.execute(f"{runs} and id <> connection_id()").strip() != "0":
        time.sleep(0.05)


async def test_lookups_read(mariadb: MariaDb) -> None:
    """A function that writes is refused by the transaction, also on a connection that was used before."""
    body = "begin update customers set visits = 9; return 'x'; end"
    function = f"create function touch() returns text modifies sql data {body}"
    mariadb.execute(f"use crm;\ndelimiter //\n{function} //\n")
    sql = "select coalesce(touch(), :uid) as tier"
    async with asking(declared(mariadb.url, sql, ONE, "attempts = 1\nconcurrency = 1")) as ask:
        for _ in range(2):
            assert isinstance(await why(ask(uid="u1")), BackendRejected)
    assert mariadb.execute("select visits from crm.customers where uid = 'u1'").strip() == "3"


async def test_failures_are_told_apart(mariadb: MariaDb) -> None:
    """Without a word of the driver."""
    cases = {
        "no such table": ("select 1 as tier from nowhere where :uid = ''", mariadb.url, BackendRejected),
        "syntax": ("select from where :uid", mariadb.url, BackendRejected),
        "password": (TIER, mariadb.url.replace(PASSWORD, "wrong"), BackendDenied),
        "refused": (TIER, "mysql://a:b@127.0.0.1:1/x", BackendUnavailable),
    }
    for sql, url, kind in cases.values():
        async with asking(declared(url, sql, ONE, "attempts = 1")) as ask:
            assert isinstance(await why(ask(uid="u1")), kind)


async def test_more_rows_than_fit_are_not_fetched(mariadb: MariaDb) -> None:
    """A million of them would be the end of a worker."""
    sql = "select seq as v from seq_1_to_100000 where :uid <> ''"
    async with asking(declared(mariadb.url, sql, 'rows = "all"\nvariables = { tier = "[0].v" }')) as ask:
        assert "over 1000 rows" in str(await why(ask(uid="u1")))


async def test_words_of_the_driver_are_not_written_beside_the_log(
    mariadb: MariaDb, caplog: pytest.LogCaptureFixture
) -> None:
    """It repeats the server's warnings, and with them what a visitor has typed."""
    sql = "select tier from customers where visits + 0 = :uid"
    logging.getLogger("asyncmy").setLevel(logging.NOTSET)
    async with asking(declared(mariadb.url, sql, ONE)) as ask:
        assert (await ask(uid="3 and my card is 4111")).variables == {"tier": "gold"}
    assert "4111" not in caplog.text
