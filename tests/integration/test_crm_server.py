"""A test can look at the flaky CRM's calls, change its script, and stop it."""

import asyncio
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from gateway.crm import Crm, ScriptError, run

HANG = "[[rules]]\npath = '/orders/*'\nshares = { hang = 1 }"


async def get_json(session: aiohttp.ClientSession, path: str) -> Any:  # noqa: ANN401 - any JSON
    """Return what a GET answers."""
    async with session.get(path) as got:
        return await got.json()


async def wait_for_in_flight(session: aiohttp.ClientSession, count: int) -> Any:  # noqa: ANN401 - JSON
    """Return the statistics as soon as ``count`` calls are in flight."""
    stats = await get_json(session, "/_stats")
    while stats["in_flight"] != count:
        stats = await get_json(session, "/_stats")
    return stats


async def connect(crm: Crm) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection for bytes that no client library would send, or would read unasked."""
    return await asyncio.open_connection("127.0.0.1", int(crm.url.rpartition(":")[2]))


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection that the other side may have closed first."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.fixture
def clock() -> list[float]:
    """Return a time that a test sets, in a list of one."""
    return [0.0]


async def test_stats_count_calls_by_path_and_keep_the_last_headers() -> None:
    """A test proves that a backend was asked once, and with which credentials."""
    async with Crm() as crm, aiohttp.ClientSession(crm.url) as session:
        for token in ("old", "new"):
            await session.get("/orders/1?a=b", headers={"Authorization": f"Bearer {token}"})
        await session.get("/nowhere")
        await session.get("/_script")
        stats = await get_json(session, "/_stats")
    assert stats["calls"] == {"/orders/1": 2, "/nowhere": 1}
    assert (stats["total"], stats["in_flight"], stats["max_in_flight"]) == (3, 0, 1)
    assert stats["last_headers"]["/orders/1"]["Authorization"] == "Bearer new"


async def test_an_answer_says_when_it_was_made_to_those_who_ask() -> None:
    """The reader of a copy can know its age. The answer is otherwise the same."""
    async with Crm() as crm, aiohttp.ClientSession(crm.url) as session:
        before = time.time()
        plain, stamped = await get_json(session, "/orders/1"), await get_json(session, "/orders/1?as_of=1")
    assert before <= stamped.pop("as_of") <= time.time()
    assert stamped == plain


async def test_a_hang_takes_the_call_and_says_nothing() -> None:
    """The fault that timeouts exist for; the call is over when the client gives up."""
    async with Crm(script=HANG) as crm, aiohttp.ClientSession(crm.url) as session:
        call = asyncio.create_task(session.get("/orders/1"))
        await wait_for_in_flight(session, 1)
        done, _ = await asyncio.wait({call}, timeout=0.1)
        assert not done
        call.cancel()
        assert (await wait_for_in_flight(session, 0))["calls"] == {"/orders/1": 1}


async def test_stats_are_zeroed_but_calls_in_flight_stay_in_flight() -> None:
    """A benchmark zeroes after its warm-up, with calls still running."""
    async with Crm(script=HANG) as crm, aiohttp.ClientSession(crm.url) as session:
        hanging = [asyncio.create_task(session.get(f"/orders/{n}")) for n in range(3)]
        assert (await wait_for_in_flight(session, 3))["max_in_flight"] == 3
        async with session.delete("/_stats") as got:
            assert got.status == 204
        stats = await get_json(session, "/_stats")
        assert stats == {"calls": {}, "total": 0, "in_flight": 3, "max_in_flight": 3, "last_headers": {}}
        for task in hanging:
            task.cancel()
        await wait_for_in_flight(session, 0)


async def test_headers_are_kept_for_the_paths_called_last_alone() -> None:
    """An hour of benchmark must not end in a report of gigabytes."""
    async with Crm() as crm, aiohttp.ClientSession(crm.url) as session:
        for n in range(1001):
            await session.get(f"/profile/{n}")
        stats = await get_json(session, "/_stats")
    assert (stats["total"], len(stats["last_headers"])) == (1001, 1000)
    assert "/profile/0" not in stats["last_headers"]


async def test_a_new_script_plays_from_its_own_beginning(clock: list[float]) -> None:
    """A test puts ``an outage in ten seconds`` and means ten seconds from then."""
    script = "[[rules]]\nafter = '10s'\nshares = { error = 1 }"
    async with Crm(clock=lambda: clock[0]) as crm, aiohttp.ClientSession(crm.url) as session:
        clock[0] = 100
        async with session.put("/_script", data=script) as got:
            assert got.status == 204
        for now, status in ((109.9, 200), (110, 503)):
            clock[0] = now
            async with session.get("/orders/1") as got:
                assert got.status == status
        async with session.get("/_script") as got:
            assert await got.text() == script


async def test_the_same_script_put_again_repeats_its_faults() -> None:
    """One server serves many runs, and each run can be compared with the one before."""
    script = "[[rules]]\nshares = { ok = 1, error = 1 }"
    runs = []
    async with Crm(seed=1) as crm, aiohttp.ClientSession(crm.url) as session:
        for _ in range(2):
            await session.put("/_script", data=script)
            runs.append([(await session.get("/orders/1")).status for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


@pytest.mark.parametrize("script", [b"seed = 'x'\nrule = 1", b"\xff"])
async def test_a_bad_script_is_refused_and_the_old_one_plays_on(script: bytes) -> None:
    """A typing error in the middle of a run must not change what is being measured."""
    old = "[[rules]]\nshares = { error = 1 }"
    async with Crm(script=old) as crm, aiohttp.ClientSession(crm.url) as session:
        async with session.put("/_script", data=script) as got:
            assert got.status == 400
            assert (await got.json())["faults"]
        async with session.get("/orders/1") as got:
            assert got.status == 503


async def test_data_stay_the_same_under_another_script() -> None:
    """Faults change in the course of a test; customers do not."""
    async with Crm(script="seed = 3") as crm, aiohttp.ClientSession(crm.url) as session:
        before = await get_json(session, "/customers/1")
        await session.put("/_script", data="seed = 4")
        assert await get_json(session, "/customers/1") == before


async def test_wrong_methods_are_told_so() -> None:
    """A lookup that is configured wrongly fails in a way that its author understands."""
    async with Crm() as crm, aiohttp.ClientSession(crm.url) as session:
        for method, path in (("POST", "/_stats"), ("DELETE", "/orders/1")):
            async with session.request(method, path) as got:
                assert got.status == 405


async def test_header_bytes_outside_utf8_do_not_break_the_stats() -> None:
    """One odd client must not take the statistics away from all others."""
    async with Crm() as crm, aiohttp.ClientSession(crm.url) as session:
        reader, writer = await connect(crm)
        writer.write(b"GET /orders/1 HTTP/1.1\r\nHost: crm\r\nX-Odd: \xff\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await close(writer)
        assert (await get_json(session, "/_stats"))["last_headers"]["/orders/1"]["X-Odd"] == "?"


@pytest.mark.parametrize("kind", ["hang", "drip", "huge"])
async def test_closing_ends_calls_that_would_never_end(kind: str) -> None:
    """A test that provoked a fault is over when it says so, even if its client still waits."""
    async with Crm(script=f"[[rules]]\nshares = {{ {kind} = 1 }}") as crm:
        _, writer = await connect(crm)
        writer.write(b"GET /orders/1 HTTP/1.1\r\nHost: crm\r\n\r\n")
        async with aiohttp.ClientSession(crm.url) as session:
            await wait_for_in_flight(session, 1)
        closing = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - closing < 2
    await close(writer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_with_exit_0_while_calls_hang(number: signal.Signals) -> None:
    """Demo and compose stop at once, and nothing looks like a crash."""
    code = f"from gateway.crm import run; run('127.0.0.1', 0, {HANG.encode()!r})"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line.startswith("deskgate crm on http://127.0.0.1:")
    async with aiohttp.ClientSession(line.split()[-1]) as session:
        hanging = asyncio.create_task(session.get("/orders/1"))
        await wait_for_in_flight(session, 1)
        process.send_signal(number)
        async with asyncio.timeout(5):
            _, errors = await process.communicate()
        with pytest.raises(aiohttp.ClientError):
            await hanging
    assert (process.returncode, errors) == (0, b"")


def test_a_bad_script_ends_the_command_before_it_listens() -> None:
    """The faults of a script are seen where it was given, at once."""
    with pytest.raises(ScriptError, match="seed: Expected"):
        run("127.0.0.1", 0, b"seed = 'x'")


def test_a_port_that_is_taken_is_an_os_error() -> None:
    """The command can tell its user so."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        run("127.0.0.1", taken.getsockname()[1], b"")
