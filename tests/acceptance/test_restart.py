"""A gateway or a worker that is stopped, reloaded or supervised: no callback is lost over it."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.core.errors import Code
from gateway.crm.server import Crm
from gateway.declared.environment import digest_of
from gateway.process.release import RELEASE
from tests.desk import Desk, Heard, Place, when
from tests.processes import GatewayProcess, Process, WorkerProcess

pytestmark = pytest.mark.timeout(120)

ORDER = {"node": "order", "orderId": "1"}


@pytest.fixture
def config(place: Place, tmp_path: Path) -> Path:
    """The test configuration as a file."""
    return written(tmp_path / "deskgate.toml", place.config(drain="1s"))


def written(path: Path, text: str) -> Path:
    """Return a file with this text."""
    path.write_text(text)
    return path


def move(path: Path, to: Path) -> None:
    """Rename a file, as programs do that replace one whole."""
    path.replace(to)


async def ready(front: GatewayProcess) -> tuple[int, dict[str, object]]:
    """Return what the admin port says at ``/ready``."""
    admin = (await front.event("gateway.started"))["admin"]
    async with aiohttp.ClientSession() as http, http.get(f"http://{admin}/ready") as response:
        return response.status, await response.json()


async def calls_until(done: Callable[[], bool], desk: Desk) -> list[Heard]:
    """Send callbacks without a pause, on a kept and on new connections, until ``done``."""

    async def kept() -> None:
        while not done():
            heard.append(await desk.call("kept", **ORDER))

    async def new() -> None:
        while not done():
            async with aiohttp.ClientSession() as http:
                heard.append(await Desk(http, desk.url, desk.query).call("new", **ORDER))

    heard: list[Heard] = []
    await asyncio.gather(kept(), kept(), new(), new())
    return heard


async def test_callbacks_are_taken_until_the_balancer_knows(config: Path, place: Place, desk: Desk) -> None:
    """``/ready`` says at once that it goes. What arrives until the balancer has seen that is answered."""
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place):
        here = desk.at(await front.address())
        assert (await here.call("before", **ORDER)).code == 0
        assert (await ready(front))[0] == 200
        front.signal(signal.SIGTERM)
        await front.event("gateway.draining")
        status, body = await ready(front)
        assert (status, body["status"]) == (503, "draining")
        loop = asyncio.get_running_loop()
        enough = loop.time() + 0.7  # of the second that it drains
        heard = await calls_until(lambda: loop.time() > enough, here)
        assert {one.code for one in heard} == {0}
        assert await front.ended() == 0
        assert front.lines[-1]["event"] == "gateway.drained"


async def test_connections_are_closed_behind_their_answers_while_it_drains(
    config: Path, place: Place, desk: Desk
) -> None:
    """A client that keeps its connection would send the next callback into a closed port."""
    async with GatewayProcess(config, place) as front:
        here = desk.at(await front.address())
        url = f"{here.url}/?SdkAppid=1400000001&CallbackCommand=Chatbot.InterfaceInvocation"
        body = json.dumps({"Body": {"SystemSessionID": "s", "node": "order", "orderId": "1"}})
        async with desk.http.post(url, data=body) as response:
            assert response.headers.get("Connection") is None
        front.signal(signal.SIGTERM)
        await front.event("gateway.draining")
        async with desk.http.post(url, data=body) as response:
            assert response.headers["Connection"] == "close"
        assert await front.ended() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_ends_the_wait(config: Path, place: Place, second: signal.Signals) -> None:
    """An operator who has no time says so twice."""
    written(config, place.config(drain="1h"))
    async with GatewayProcess(config, place) as front:
        await front.address()
        front.signal(signal.SIGTERM)
        await front.event("gateway.draining")
        assert await front.end(second) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", [GatewayProcess, WorkerProcess])
async def test_signal_ends_a_process_that_still_starts(
    config: Path, place: Place, kind: type[Process], number: signal.Signals
) -> None:
    """Redis hangs, so the start takes its time; a supervisor that changes its mind must not wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # takes connections, and never answers
        url = f"redis://127.0.0.1:{hanging.getsockname()[1]}/0"
        slow = Place(url, place.prefix, place.crm_url)
        command = "gateway" if kind is GatewayProcess else "worker"
        written(config, place.config(redis_timeout="30s"))
        arguments = ("-m", "gateway", command, "-c", str(config))
        async with Process(*arguments, environ=slow.environ) as process:
            hanging.settimeout(20)
            connection, _ = await asyncio.to_thread(hanging.accept)
            with connection:
                assert await process.end(number) in {0, -number}
        assert not any("Traceback" in str(line) for line in process.lines), process.lines


async def test_sighup_reloads_and_answers_the_callback_in_hand(
    config: Path, place: Place, desk: Desk, crm: Crm
) -> None:
    """The callback in hand is finished by the old configuration, the next one is answered by the new one."""
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as back:
        here = desk.at(await front.address())
        assert (await here.call("s1", **ORDER)).variables["order_id"] == "1"
        crm.put('[[rules]]\npath = "/orders/slow"\nlatency = { fixed = "1500ms" }\nshares = { ok = 1 }\n')
        in_hand = asyncio.create_task(here.call("s2", node="order", orderId="slow"))
        await when(lambda: crm.stats.report()["total"] == 2)
        renamed: dict[str, object] = {"lookups.order.variables": {"order_number": "id"}}
        renamed |= {"lookups.order.required": ["order_number"], "lookups.order.fallback": None}
        renamed |= {"lookups.order.not_found": None}
        text = place.config(renamed, drain="1s")
        written(config, text)
        back.signal(signal.SIGHUP)
        assert (await back.event("config.reloaded"))["config"] == digest_of(text.encode())
        front.signal(signal.SIGHUP)
        assert (await front.event("config.reloaded"))["config"] == digest_of(text.encode())
        assert (await in_hand).variables["order_id"] == "slow"
        heard = await here.call("s1", **ORDER)
        assert (heard.code, heard.variables) == (0, {"order_number": "1"} | markers(heard))
        assert (await ready(front))[1]["config"] == digest_of(text.encode())
        assert [line["version"] for line in back.events("worker.started")] == [RELEASE] * 2
        assert await front.end(signal.SIGINT) == 0
        assert await back.end() == 0


async def test_reload_loses_no_callback_and_forgets_no_answer(config: Path, place: Place, desk: Desk) -> None:
    """Records in memory outlive it: with Redis and workers gone, the last known answer still goes out."""
    async with GatewayProcess(config, place) as front:
        here = desk.at(await front.address())
        async with WorkerProcess(config, place) as back:
            assert (await here.call("s1", **ORDER)).code == 0
            calling = asyncio.create_task(
                calls_until(lambda: len(front.events("config.reloaded")) >= 3, here)
            )
            for times in (1, 2, 3):
                front.signal(signal.SIGHUP)
                await front.event("config.reloaded", times)
            assert {one.code for one in await calling} == {0}
            assert await back.end() == 0
        written(config, place.config({"redis.url": "redis://127.0.0.1:1/0"}, fresh="1ms", drain="1s"))
        front.signal(signal.SIGHUP)
        await front.event("config.reloaded", 4)
        heard = await here.call("s1", **ORDER)
        assert (heard.code, heard.variables["order_id"]) == (Code.QUEUE_UNAVAILABLE, "1")
        assert await front.end(signal.SIGINT) == 0


async def test_changed_file_is_used_without_a_signal(config: Path, place: Place, desk: Desk) -> None:
    """A configuration that is mounted from elsewhere changes, and nobody can send a signal."""
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as back:
        here = desk.at(await front.address())
        assert (await here.call("s1", node="new")).code == Code.NO_ROUTE
        route = '\n[[routes]]\nlookups = ["profile"]\n'
        move(written(config.with_name("next.toml"), place.config(drain="1s") + route), config)
        await asyncio.gather(front.event("config.reloaded"), back.event("config.reloaded"))
        assert (await here.call("s1", node="new")).code == 0
        assert await front.end(signal.SIGINT) == 0


async def test_faulty_file_changes_nothing_and_is_reported(config: Path, place: Place, desk: Desk) -> None:
    """A slip of the editor must not end the night's callbacks."""
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as back:
        here = desk.at(await front.address())
        digest = (await front.event("gateway.started"))["config"]
        for text, fault in (
            ("[gateway", "not TOML"),
            ("", "apps: there is none any more"),
            (place.config({"gateway.budget": "soon"}), "gateway.budget"),
            (place.config({"gateway.listen": "127.0.0.1:1"}), "gateway.listen: a running gateway keeps"),
            (
                place.config(
                    {
                        "lookups.profile": {"python": "nowhere:f", "variables": {"a": "a"}},
                        "apps.1400000001.redis_lost": "direct",
                    }
                ),
                "nowhere:f",
            ),
        ):
            written(config, text)
            before = len(front.events("config.refused"))
            front.signal(signal.SIGHUP)
            refused = await front.event("config.refused", before + 1)
            assert fault in str(refused["faults"])
            assert refused["config"] == digest
            assert (await here.call("s1", **ORDER)).code == 0
        written(config, "")
        back.signal(signal.SIGHUP)
        refused = await back.event("config.refused")
        assert "apps: there is none any more" in str(refused["faults"])
        assert len(back.events("worker.started")) == 1, "it would go on without a lane"
        move(config, config.with_name("elsewhere.toml"))
        back.signal(signal.SIGHUP)
        assert "No such file" in str((await back.event("config.refused", 2))["faults"])
        assert (await here.call("s3", **ORDER)).code == 0
        assert (await ready(front))[1]["config"] == digest
        assert await front.end(signal.SIGINT) == 0


async def test_worker_finishes_its_jobs_by_the_old_configuration(
    config: Path, place: Place, desk: Desk
) -> None:
    """And a lane that is new gets a worker without a restart."""
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as back:
        here = desk.at(await front.address())
        second = {"url": "${CRM_URL}", "attempts": 1}
        changes = {"backends.second": second, "lookups.order.backend": "second"}
        written(config, place.config(changes, drain="1s"))
        back.signal(signal.SIGHUP)
        started = await back.event("worker.started", 2)
        assert sorted(started["lanes"]) == ["crm", "second"]
        front.signal(signal.SIGHUP)
        await front.event("config.reloaded")
        assert (await here.call("s1", **ORDER)).code == 0
        await when(lambda: back.events("worker.drained"))  # the old ones
        assert (await here.call("s2", **ORDER)).code == 0
        assert await back.end() == 0


async def test_file_that_cannot_be_read_to_its_end_holds_up_no_end(config: Path, place: Place) -> None:
    """A file system may hang for hours; here a pipe does. The process waited until it was killed."""
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as back:
        await front.address()
        move(config, config.with_name("elsewhere.toml"))
        os.mkfifo(config)
        for process in (front, back):
            process.signal(signal.SIGHUP)
        await asyncio.sleep(0.2)  # both are reading
        async with asyncio.timeout(10):
            assert await front.end() == await back.end() == 0


HAND_OVER = """
import os, sys
for number, file in enumerate(map(int, sys.argv[1:3])):
    os.dup2(file, 100 + number)
for number in (0, 1):
    os.dup2(100 + number, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""
"""A program that hands two sockets over as systemd does, and becomes another one."""


async def test_sockets_of_systemd_are_used_and_it_is_told(config: Path, place: Place, desk: Desk) -> None:
    """A restart in place keeps the sockets. What comes meanwhile waits in them, and is answered."""
    with (
        socket.create_server(("127.0.0.1", 0)) as callbacks,
        socket.create_server(("127.0.0.1", 0)) as admin,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        path = config.with_name("notify")
        ear.bind(str(path))
        ear.settimeout(20)
        told = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "100000", "LISTEN_FDNAMES": "admin:callbacks"}
        environ, files = {**place.environ, **told}, (admin.fileno(), callbacks.fileno())
        command = ("-c", HAND_OVER, *map(str, files), "-m", "gateway", "gateway", "-c", str(config))
        here = desk.at(callbacks.getsockname())
        async with WorkerProcess(config, place):
            for turn in range(2):
                calling = asyncio.create_task(here.call(f"s{turn}", **ORDER))  # nobody accepts yet
                async with Process(*command, environ=environ, files=files) as front:
                    assert (await calling).code == 0
                    started = await front.event("gateway.started")
                    assert started["admin"] == f"127.0.0.1:{admin.getsockname()[1]}"
                    said = [await asyncio.to_thread(ear.recv, 100) for _ in range(4)]
                    assert b"READY=1" in said
                    assert said.count(b"WATCHDOG=1") >= 2
                    assert await front.end(signal.SIGINT) == 0
                    while b"STOPPING=1" not in said:
                        said.append(await asyncio.to_thread(ear.recv, 100))


async def test_socket_that_is_of_no_use_is_named(config: Path, place: Place) -> None:
    """A mistake in a socket unit is found at its first start."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wrong,
        socket.create_server(("127.0.0.1", 0)) as right,
    ):
        files = (wrong.fileno(), right.fileno())
        command = ("-c", HAND_OVER, *map(str, files), "-m", "gateway", "gateway", "-c", str(config))
        async with Process(*command, environ=place.environ, files=files) as front:
            assert await front.ended() == 2
        assert "must listen for TCP connections" in str(front.lines)
        assert "Traceback" not in str(front.lines)


def markers(heard: Heard) -> dict[str, str]:
    """Return the variables of a reply that say where the others come from."""
    return {name: value for name, value in heard.variables.items() if name.startswith("deskgate")}


@pytest.mark.parametrize("command", [("gateway",), ("gateway", "--processes", "2"), ("worker",)])
async def test_sighup_while_it_starts_ends_no_process(
    command: tuple[str, ...], config: Path, place: Place
) -> None:
    """A deployment that starts a container and then tells all of them to reload ended that one."""
    arguments = ("-m", "gateway", command[0], "-c", str(config), *command[1:])
    async with Process(*arguments, environ=place.environ) as starting:
        await when(lambda: keeps_hangups(starting.pid) or not starting.running)
        assert not starting.events(f"{command[0]}.started")
        starting.signal(signal.SIGHUP)
        await starting.event(f"{command[0]}.started")
        await when(lambda: not keeps_hangups(starting.pid))
        assert starting.running
        assert await starting.end(signal.SIGINT) == 0


def keeps_hangups(pid: int) -> bool:
    """Return whether the kernel keeps SIGHUP back from a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (blocked,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigBlk:")]
    return bool(blocked & 1 << (signal.SIGHUP - 1))
