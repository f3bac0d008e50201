"""`deskgate up`: one command and one file run everything on one machine, and stop everything."""

import asyncio
import gc
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.tools.children import Child
from gateway.tools.processes import CannotStart, Valkey
from gateway.tools.up import run
from tests.acceptance.family import children_of, gone, shown
from tests.desk import Desk, Place
from tests.processes import Process

pytestmark = pytest.mark.timeout(120)

FAILING = "[[rules]]\nshares = { error = 1 }\n"


@pytest.fixture
def bare(crm: Crm) -> Place:
    """Where a test's parts live when `deskgate up` brings the Redis."""
    return Place("embedded", f"t{uuid4().hex[:12]}", crm.url)


@asynccontextmanager
async def up(place: Place, tmp_path: Path) -> AsyncIterator[Process]:
    """Run `deskgate up` until gateway and worker are there."""
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config(fresh="0s"))
    command = ("-m", "gateway", "up", "-c", str(config), "--data", str(tmp_path / "data"))
    with tempfile.TemporaryDirectory(prefix="t") as short:  # a socket's path must be
        async with Process(*command, environ={**place.environ, "TMPDIR": short}) as process:
            await process.event("gateway.started")
            await process.event("worker.started")
            yield process


async def desk_at(process: Process, desk: Desk) -> Desk:
    """Return a Desk that calls the gateway of `deskgate up`."""
    host, _, port = (await process.event("gateway.started"))["listen"].rpartition(":")
    return desk.at((host, int(port)))


async def test_last_known_answers_outlive_a_restart(
    bare: Place, crm: Crm, desk: Desk, tmp_path: Path
) -> None:
    """A machine that reboots during the CRM's bad hour still knows its sessions."""
    async with up(bare, tmp_path) as process:
        first = await (await desk_at(process, desk)).call(node="order", orderId="1")
        assert (first.code, first.variables["order_id"]) == (0, "1")
        assert await process.end(signal.SIGINT) == 0
    assert process.events("gateway.drained")
    assert process.events("worker.drained")[0]["jobs_left"] == 0
    assert not process.events("redis.lost"), "stopped in the wrong order"
    crm.put(FAILING)
    async with up(bare, tmp_path) as process:
        again = await (await desk_at(process, desk)).call(node="order", orderId="1")
        assert (again.code, again.variables) == (Code.BACKEND_UNAVAILABLE, first.variables)
        assert await process.end(signal.SIGTERM) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("victim", "said"),
    [
        ("gateway gateway", "the gateway ended unasked by SIGKILL"),
        ("workers", "the worker ended unasked by SIGKILL"),
        ("valkey-server", "the Valkey server ended unasked"),
    ],
)
async def test_part_that_dies_ends_everything(victim: str, said: str, bare: Place, tmp_path: Path) -> None:
    """A supervisor restarts what has ended; half of it running would look well from outside."""
    async with up(bare, tmp_path) as process:
        children = children_of(process.pid)
        assert len(children) == 3
        (child,) = (child for child in children if victim in child.command)
        child.kill()
        assert await process._process.wait() == 1
        await shown(process, f"{said}; everything has been stopped")
        await gone(children)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
async def test_nothing_outlives_a_killed_up(bare: Place, tmp_path: Path) -> None:
    """An orphan would hold the port and the data against the next start."""
    async with up(bare, tmp_path) as process:
        children = children_of(process.pid)
        await process.kill()
        await gone(children)
    async with up(bare, tmp_path) as process:
        assert await process.end() == 0


async def test_server_of_ones_own_is_used(place: Place, desk: Desk, tmp_path: Path) -> None:
    """`up` with an address in the file starts no second Redis, and says so."""
    async with up(place, tmp_path) as process:
        await shown(process, f"no Valkey is started: redis.url names {place.redis_url}")
        assert (await (await desk_at(process, desk)).call(node="order", orderId="1")).code == 0
        assert await process.end() == 0
    assert not (tmp_path / "data").exists()


async def test_password_of_a_server_is_not_shown(place: Place, tmp_path: Path) -> None:
    """The output of `up` ends in a journal that others read."""
    secret = Place("redis://me:hunter2@127.0.0.1:1/0?password=hunter2", place.prefix, place.crm_url)
    async with up(secret, tmp_path) as process:
        await shown(process, "redis.url names redis://127.0.0.1:1/0")
        assert await process.end() == 0
    assert "hunter2" not in repr(process.lines)


async def test_port_that_is_taken_ends_everything(bare: Place, tmp_path: Path) -> None:
    """The reason stands in the output, and the exit code says that something is wrong."""
    async with up(bare, tmp_path) as process:
        taken = (await process.event("gateway.started"))["listen"]
        config = tmp_path / "other.toml"
        config.write_text(bare.config({"gateway.listen": taken}))
        command = ("-m", "gateway", "up", "-c", str(config), "--data", str(tmp_path / "other"))
        async with Process(*command, environ=bare.environ) as other:
            assert await other._process.wait() == 1
            await shown(other, "cannot listen")
            await shown(other, "the gateway ended unasked with exit code 2")


async def test_data_belong_to_one(bare: Place, tmp_path: Path) -> None:
    """Two servers that append to one file would leave data that neither can read."""
    async with up(bare, tmp_path) as process:
        with pytest.raises(CannotStart, match="in use by another deskgate"), Valkey(tmp_path / "data"):
            pass
        assert await process.end() == 0
    with Valkey(tmp_path / "data") as valkey:
        assert valkey.running


def test_stop_before_all_parts_run_leaves_nothing_unawaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes at any moment; Python would tell the user of a coroutine. A warning fails this test."""

    class Stopped(Child):
        async def __aenter__(self) -> Self:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
            return self

    monkeypatch.setattr("gateway.tools.up.Child", Stopped)
    assert run(tmp_path / "deskgate.toml", "embedded", tmp_path / "data", None) == 0
    gc.collect()


def test_data_are_for_their_owner_alone(tmp_path: Path) -> None:
    """They hold what backends said about customers; others have an account on the machine, too."""
    with Valkey(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_data_in_a_folder_that_others_may_read_are_for_their_owner_alone(tmp_path: Path) -> None:
    """The folder may have been made by hand, or by a version that did not know better."""
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    with Valkey(data):
        files = [file for file in data.rglob("*") if file.is_file()]
        assert len(files) > 2
        assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_data_that_cannot_be_kept_are_a_reason_not_to_start(tmp_path: Path) -> None:
    """Found out before the first callback, not after the first crash."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(CannotStart, match="cannot keep data in"), Valkey(tmp_path / "data"):
        pass


@pytest.mark.parametrize("command", ["gateway", "worker"])
async def test_embedded_is_refused_where_nobody_brings_the_server(
    command: str, bare: Place, tmp_path: Path
) -> None:
    """The process would otherwise start, find no Redis, and be degraded for ever."""
    config = tmp_path / "deskgate.toml"
    config.write_text(bare.config())
    async with Process("-m", "gateway", command, "-c", str(config), environ=bare.environ) as process:
        assert await process._process.wait() == 2
        await shown(process, 'redis.url: "embedded" runs under "deskgate up" alone')
    async with Process("-m", "gateway", "check", "-c", str(config), environ=bare.environ) as check:
        assert await check._process.wait() == 0
