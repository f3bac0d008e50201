"""SQL lookups against a real SQLite: a statement ends when nobody waits for it, and no file is made."""

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from gateway.core.errors import BackendUnavailable, TimedOut
from tests.integration.selecting import asking, declared, why

ENDLESS = """with recursive n(x) as (select 1 union all select x + 1 from n)
select max(x) as tier from n where :uid is not null"""
ONE = 'variables = { tier = "tier" }'


def made(path: Path) -> str:
    """Return the address of a database with one customer."""
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "create table customers (uid text, tier text); insert into customers values ('u1', 'gold');"
        )
    return f"sqlite:///{path}"


async def test_endless_statement_ends_in_time_and_frees_its_connection(tmp_path: Path) -> None:
    """It runs in a thread, which hears nothing of a cancellation: a core would burn for ever."""
    url = made(tmp_path / "crm.db")
    settings = "attempts = 1\nconcurrency = 1"
    async with asking(declared(url, ENDLESS, ONE, settings, "300ms")) as ask:
        for _ in range(3):
            began = time.monotonic()
            assert isinstance(await why(ask(uid="u1")), TimedOut)
            assert time.monotonic() - began < 0.6
        threads = time.process_time()
        await asyncio.sleep(0.2)  # whether a thread still runs is seen by its use of time alone
        assert time.process_time() - threads < 0.1


async def test_locked_database_is_unavailable_in_time(tmp_path: Path) -> None:
    """Who waits for a lock cannot be interrupted."""
    path = tmp_path / "crm.db"
    url = made(path)
    writer = sqlite3.connect(path)
    writer.execute("begin exclusive")
    sql = "select tier from customers where uid = :uid"
    async with asking(declared(url, sql, ONE, "attempts = 1", "400ms")) as ask:
        began = time.monotonic()
        assert isinstance(await why(ask(uid="u1")), BackendUnavailable)
        assert time.monotonic() - began < 0.4
        writer.rollback()
        assert (await ask(uid="u1")).variables == {"tier": "gold"}
    writer.close()


def files(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("name", ["a#b.db", "50%25.db", "what?.db", "two words & more.db"])
async def test_path_is_taken_as_it_is_written(name: str, tmp_path: Path) -> None:
    """A part of it that is read as an option would open another file, to be written."""
    url = made(tmp_path / name)
    sql = "select tier from customers where uid = :uid"
    async with asking(declared(url.replace(name, f"none {name}"), sql, ONE, backend="attempts = 1")) as ask:
        assert isinstance(await why(ask(uid="u1")), BackendUnavailable)
    async with asking(declared(url, sql, ONE)) as ask:
        assert (await ask(uid="u1")).variables == {"tier": "gold"}
    assert files(tmp_path) == [name]
