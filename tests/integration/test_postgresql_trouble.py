"""Callers that leave at any moment, and a PgBouncer: each answer is that of its own question."""

import asyncio
import random
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.core.errors import NoAnswer, TimedOut
from tests.databases import PASSWORD, USER, PostgreSql
from tests.integration.selecting import (
    FOUND,
    asking,
    declared,
    needs_postgresql,
)

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="SQL behind PgBouncer: it is not installed")
pytestmark = [needs_postgresql, pytest.mark.timeout(120)]


def behind(server: PostgreSql, port: str) -> str:
    """Return the address of the database through another port."""
    return server.url.replace(f":{server.port}/", f":{port}/")


SLEEP = "select cast(pg_sleep(cast(:seconds as float)) as text) || :uid as tier"
TIER = 'variables = { tier = "tier" }'


@pytest.mark.parametrize("seed", range(3))
async def test_no_answer_is_that_of_another_question(postgresql: PostgreSql, seed: int) -> None:
    """Whenever callers leave: no connection of the pool has an answer left over for the next one."""
    await ask_and_leave(postgresql.url, random.Random(seed), 300)


async def ask_and_leave(url: str, draw: random.Random, questions: int) -> None:
    """Ask many questions, leave many of them at any moment, and look at each answer that comes."""
    async with asking(declared(url, SLEEP, TIER, "attempts = 1\nconcurrency = 4", "300ms")) as ask:
        asked = answered = 0
        longest = 0.1

        async def one(number: int) -> None:
            nonlocal answered
            await asyncio.sleep(draw.random() * questions / 150)
            with suppress(TimeoutError, NoAnswer):
                async with asyncio.timeout(draw.random() * longest):
                    found = await ask(uid=str(number), seconds=str(draw.random() * 0.05))
                    assert found.variables == {"tier": str(number)}
                    answered += 1

        while not 0 < answered < asked:  # a busy machine answers nobody in so short a time
            await asyncio.gather(*(one(number) for number in range(questions)))
            asked, longest = asked + questions, longest * 2
        while True:
            with suppress(NoAnswer):  # those that were left behind are being cancelled
                assert (await ask(uid="last", seconds="0")).variables == {"tier": "last"}
                return


@asynccontextmanager
async def pgbouncer(server: PostgreSql) -> AsyncIterator[str]:
    """Yield the address of the database through a PgBouncer that pools transactions, on one connection."""
    assert PGBOUNCER is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = server.folder  # which its user may read
    (folder / "users.txt").write_text(f'"{USER}" "{PASSWORD}"\n')
    settings = f"""[databases]
postgres = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 1
"""
    (folder / "pgbouncer.ini").write_text(settings)
    child = await asyncio.create_subprocess_exec(
        *(PGBOUNCER, "-q", str(folder / "pgbouncer.ini")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=server.become,
    )
    try:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            assert child.returncode is None, await child.stderr.read() if child.stderr else b""
            await asyncio.sleep(0.02)
        yield behind(server, str(port))
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@needs_pgbouncer
async def test_behind_pgbouncer_nothing_of_a_lookup_stays_on_the_connection(postgresql: PostgreSql) -> None:
    """Another program that shares the connection has neither our time limit nor our read-only mode."""
    import psycopg  # noqa: PLC0415 - an extra

    async with pgbouncer(postgresql) as url:
        async with asking(declared(url)) as ask:
            found = await asyncio.gather(*(ask(uid="u1") for _ in range(20)))
            assert [one.variables for one in found] == [FOUND] * 20
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
            for name, usual in (("statement_timeout", "0"), ("transaction_read_only", "off")):
                row = await (await other.execute(f"show {name}")).fetchone()
                assert row == (usual,)
            await other.execute("create table written (n int)")
            await other.execute("drop table written")


@needs_pgbouncer
async def test_behind_pgbouncer_no_answer_is_that_of_another_question(postgresql: PostgreSql) -> None:
    """Callers that leave have their statement cancelled, and not another's that runs on the connection."""
    async with pgbouncer(postgresql) as url:
        await ask_and_leave(url, random.Random(7), 150)


@needs_pgbouncer
async def test_behind_pgbouncer_a_hanging_statement_ends(postgresql: PostgreSql) -> None:
    """With the attempt; the connection behind it is free again."""
    async with (
        pgbouncer(postgresql) as url,
        asking(declared(url, SLEEP, TIER, "attempts = 1\nconcurrency = 2", "500ms")) as ask,
    ):
        with pytest.raises(TimedOut):
            await ask(uid="a", seconds="60")
        assert (await ask(uid="b", seconds="0")).variables == {"tier": "b"}
