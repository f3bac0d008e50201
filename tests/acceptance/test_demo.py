"""`deskgate demo` is what a newcomer runs first: it shows what it promises, and leaves nothing behind."""

import json
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from gateway.tools.call import Envelope, ReceivedReply
from gateway.tools.demo.run import sample_curl
from gateway.tools.demo.stage import HOST, sample, wanted_socket
from gateway.tools.demo.story import STEPS, StepResult, show_result
from tests.acceptance.family import children_of, gone, shown
from tests.desk import ROOT, Desk, Place
from tests.processes import Process

pytestmark = pytest.mark.timeout(120)
linux_alone = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and the parent-death signal")

REPLY = {
    "ActionStatus": "OK",
    "ErrorInfo": "",
    "ErrorCode": 0,
    "Body": {"testKey1": "value1", "testKey3": "10"},
}
STORY = [
    ("1", "live", "live", "0 OK"),
    ("2", "fresh", "fresh", "0 OK"),
    ("3", "stale", "stale", "120002 BACKEND_UNAVAILABLE"),
    ("4", "fallback", "fallback", "120002 BACKEND_UNAVAILABLE"),
    ("5", "timeout", "stale", "120001 TIMEOUT"),
    ("6", "recovery", "live", "0 OK"),
]
"""The rows of the last table: number, step, where the order came from, code."""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A place for temporary files whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="t") as directory:
        yield Path(directory)


@asynccontextmanager
async def demo(temporary: Path, *arguments: str) -> AsyncIterator[Process]:
    """Run the demo with temporary files of its own."""
    process = Process("-m", "gateway", "demo", *arguments, environ={"TMPDIR": str(temporary)})
    async with process:
        yield process


def files_in(directory: Path) -> list[Path]:
    """Return what lies in a directory."""
    return list(directory.iterdir())


async def test_the_story_is_told_and_nothing_stays(temporary: Path) -> None:
    """Every rung of the ladder, seen on a real gateway in seconds; readable in a log of CI, too."""
    async with demo(temporary, "--once") as process:
        code = await process._process.wait()
        await process._reader
    lines = [line["text"].rstrip() for line in process.lines]
    text = "\n".join(lines)
    assert code == 0, text
    assert "\x1b" not in text
    table = lines[max(i for i, line in enumerate(lines) if "the order is" in line) + 1 :]
    for row, (number, step, source, answered) in zip(table[: len(STORY)], STORY, strict=True):
        assert row.split()[:3] == [number, step, source]
        assert answered in row
    each_variable_has_its_source_and_age([line.split() for line in lines])
    assert lines[-1] == "Everything has been stopped."
    assert files_in(temporary) == []


def each_variable_has_its_source_and_age(rows: list[list[str]]) -> None:
    """The reply is half of it. The other half is its reason."""
    status = [row[1:] for row in rows if row[:1] == ["order_status"]]
    assert [row[1] for row in status] == [source for _, _, source, _ in STORY]
    assert [row[2:] for row in status if row[1] == "live"] == [["now"], ["now"]]
    assert all(2 <= float(row[2]) < 50 for row in status if row[1] == "stale")
    assert len({row[0] for row in status if row[1] != "fallback"}) == 1
    assert [row[3] for row in rows if row[:2] == ["order_total", "left"]] == ["none"]


@linux_alone
async def test_it_stays_up_for_the_documented_callback(temporary: Path, desk: Desk) -> None:
    """The first thing that README asks a newcomer to do; Ctrl-C then ends every part, in order."""
    async with demo(temporary) as process:
        line = await shown(process, "curl -sS")
        await shown(process, "Ctrl-C stops everything")
        program, _, url, _, body = shlex.split(line)
        assert program == "curl"
        desk.url = url.partition("/?")[0]
        heard = await desk.send(body.encode(), query=urlsplit(url).query)
        assert heard.envelope == REPLY
        await shown(process, "profile live")
        children = children_of(process.pid)
        assert len(children) == 4
        assert await process.end(signal.SIGINT) == 0
        await gone(children)
    assert process.lines[-1]["text"] == "Everything has been stopped.\n"
    assert files_in(temporary) == []


@linux_alone
async def test_interruption_in_the_middle_leaves_nothing(temporary: Path) -> None:
    """People press Ctrl-C when they like; a script can see that the story did not end."""
    async with demo(temporary, "--once") as process:
        await shown(process, "2  fresh")
        children = children_of(process.pid)
        assert await process.end(signal.SIGTERM) == 128 + signal.SIGTERM
        await gone(children)
    assert files_in(temporary) == []


@linux_alone
async def test_no_process_outlives_a_killed_demo(temporary: Path) -> None:
    """An orphan would hold the port that README speaks of."""
    async with demo(temporary, "--once") as process:
        await shown(process, "2  fresh")
        children = children_of(process.pid)
        assert len(children) == 4
        await process.kill()
        await gone(children)


@linux_alone
@pytest.mark.parametrize(
    ("victim", "name"), [("gateway gateway", "gateway"), ("valkey-server", "Valkey server")]
)
async def test_part_that_dies_is_named_with_its_last_lines(victim: str, name: str, temporary: Path) -> None:
    """The reader of a failed demo needs to know where to look."""
    async with demo(temporary, "--once") as process:
        await shown(process, "2  fresh")
        children = children_of(process.pid)
        (child,) = (child for child in children if victim in child.command)
        child.kill()
        assert await process._process.wait() == 1
        await shown(process, f"The demo failed: the {name} ended unasked")
        await gone(children)
        await process._reader
    if name == "gateway":
        assert process.events("gateway.started"), "its log is shown"
    assert files_in(temporary) == []


def test_port_that_is_taken_is_said_and_another_one_used() -> None:
    """8080 is a popular port; a demo that fails on it is the last that somebody tries."""
    console = Console(record=True, width=100)
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with wanted_socket(console, port) as other:
            assert other.getsockname()[1] != port
        assert f"Port {port} cannot be had (Address already in use)" in console.export_text()
    with wanted_socket(console, port) as wanted:
        assert wanted.getsockname()[1] == port
    assert console.export_text() == ""


@pytest.mark.parametrize(("took", "said"), [(1.9, ""), (2.1, "It took 2.1 s until the reply was here")])
def test_reply_that_desk_would_not_have_waited_for_is_said_to_be_one(took: float, said: str) -> None:
    """On a busy machine the story goes on; what it shows there is not what a gateway can do."""
    catalog = Place("redis://127.0.0.1:1/0", "none", "http://127.0.0.1:1").catalog()
    answered = {"lookups": {"order": {"source": "live", "age_ms": 0}}, "took_ms": 1600.0, "budget_ms": 1600}
    console = Console(record=True, width=200)
    show_result(
        console, StepResult(STEPS[0], ReceivedReply(Envelope("OK", "", 0), b"", 200, took), answered), catalog
    )
    shown = console.export_text()
    assert said in shown
    assert ("too busy" in shown) == bool(said)


def test_curl_is_that_of_the_readme() -> None:
    """A reader who copies it from there expects it to work here."""
    assert f"\n{sample_curl()}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    body = json.loads(shlex.split(sample_curl())[4])
    assert body["Body"]["staticKey"] == "staticValue"


@pytest.mark.parametrize("name", ["deskgate.toml", "crm.toml"])
def test_samples_are_found(name: str) -> None:
    """In a checkout they are those of ops/; an installed package brings copies of them."""
    assert sample(name).read_bytes() == (ROOT / "ops" / name).read_bytes()
