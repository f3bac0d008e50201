"""``deskgate logs`` as it is called: on the log of a real gateway, and in a pipe."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.test_prefork import written
from tests.desk import Desk, Place
from tests.processes import GatewayProcess

pytestmark = pytest.mark.timeout(60)
COMMAND = (sys.executable, "-m", "gateway", "logs")


def read(*arguments: str, given: bytes = b"") -> tuple[int, str]:
    """Return the exit code and the output."""
    told = subprocess.run([*COMMAND, *arguments], input=given, capture_output=True, check=False)
    return told.returncode, (told.stdout + told.stderr).decode()


async def test_log_of_a_gateway_is_read(place: Place, tmp_path: Path, desk: Desk) -> None:
    """What one session was told, and nothing of another."""
    config = written(tmp_path / "deskgate.toml", place.config({"logs.user": "hashed"}))
    async with GatewayProcess(config, place) as front:
        desk = desk.at(await front.address())
        for session in ("s1", "s2"):
            await desk.call(session, node="order", orderId="1")
        await front.event("callback.answered", 2)
    log = "".join(json.dumps(line) + "\n" for line in front.lines).encode()
    file = tmp_path / "log"
    file.write_bytes(log)
    for told in (read("--session", "s2", given=log), read(str(file), "--session", "s2")):
        code, output = told
        assert code == 0
        assert output.count("callback.answered") == 1
        assert "NO_WORKERS" in output
        assert "order fallback" in output
        assert "user517" not in output
    code, output = read(str(file), "--json", "--event", "gateway.started")
    assert (code, json.loads(output)["event"]) == (0, "gateway.started")
    assert read(str(file), "--session", "s3") == (1, "")


async def test_log_is_followed(tmp_path: Path) -> None:
    """A line is there as soon as it is written."""
    file = tmp_path / "log"
    file.write_text('{"event": "first"}\n')
    process = await asyncio.create_subprocess_exec(
        *COMMAND, str(file), "-f", stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    assert b"first" in await process.stdout.readline()
    with file.open("a") as more:
        more.write('{"event": "second"}\n')
    assert b"second" in await process.stdout.readline()
    process.kill()
    await process.wait()


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--follow"], "needs a FILE"),
        (["--slow", "long"], "not a number with a unit"),
        (["/nowhere/log"], "No such file"),
        (["-f", "/nowhere/log"], "No such file"),
    ],
)
def test_what_cannot_be_read_is_named(arguments: list[str], advice: str) -> None:
    """One line says what to change."""
    code, output = read(*arguments)
    assert code != 0
    assert advice in output
    assert "Traceback" not in output


def test_reader_that_has_enough_ends_it(tmp_path: Path) -> None:
    """``| head`` is no failure."""
    file = tmp_path / "log"
    file.write_text('{"event": "first"}\n' * 100_000)
    command = f"{' '.join(COMMAND)} {file} | head -1"
    told = subprocess.run(["sh", "-c", command], capture_output=True, check=True)  # noqa: S607 - a shell
    assert told.stdout.count(b"first") == 1
    assert told.stderr == b""
