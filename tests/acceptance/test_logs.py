"""``deskgate logs`` as it is called: on the log of a real gateway, and in a pipe."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.crm.server import Crm
from tests.acceptance.test_prefork import written
from tests.desk import ROOT, Desk, Place
from tests.processes import GatewayProcess, WorkerProcess

pytestmark = pytest.mark.timeout(120)
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


def test_name_that_is_misspelt_is_told(tmp_path: Path) -> None:
    """Beside the exit code, which says that no line fits."""
    file = tmp_path / "log"
    file.write_text('{"event": "redis.lost"}\n')
    code, output = read(str(file), "--event", "redis.los")
    assert (code, "did you mean 'redis.lost'?" in output) == (1, True)


def test_reader_that_has_enough_ends_it(tmp_path: Path) -> None:
    """``| head`` is no failure."""
    file = tmp_path / "log"
    file.write_text('{"event": "first"}\n' * 100_000)
    command = f"{' '.join(COMMAND)} {file} | head -1"
    told = subprocess.run(["sh", "-c", command], capture_output=True, check=True)  # noqa: S607 - a shell
    assert told.stdout.count(b"first") == 1
    assert told.stderr == b""


LNAV = shutil.which("lnav")
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((ROOT / "docs" / "events.schema.json").read_text(encoding="utf-8"))
)


async def log_of_a_deployment(place: Place, crm: Crm, folder: Path, desk: Desk) -> list[dict[str, Any]]:
    """Return the lines of a gateway and a worker that had good and bad calls."""
    config = written(folder / "deskgate.toml", place.config({"logs.level": "debug"}))
    async with GatewayProcess(config, place) as front, WorkerProcess(config, place) as worker:
        desk = desk.at(await front.address())
        await desk.call("s1", node="order", orderId="1")
        crm.put("seed = 1\n[[rules]]\nshares = { error = 1 }\nstatus = 503\n")
        await desk.call("s2", node="both", orderId="2")
        await desk.call("s3", node="nowhere")
        await front.event("callback.refused")
        await worker.event("lookup.finished", 3)
        for process in (front, worker):
            await process.end()
    return [*front.lines, *worker.lines]


async def test_lines_of_real_processes_keep_to_the_schema(
    place: Place, crm: Crm, tmp_path: Path, desk: Desk
) -> None:
    """What is documented is what is written."""
    lines = await log_of_a_deployment(place, crm, tmp_path, desk)
    assert {"callback.answered", "attempt.ended", "lookup.retried"} <= {line["event"] for line in lines}
    for line in lines:
        assert [*SCHEMA.iter_errors(line)] == [], line


@pytest.mark.skipif(LNAV is None, reason="the format for lnav: lnav is not installed")
async def test_lnav_reads_the_log_by_our_format(place: Place, crm: Crm, tmp_path: Path, desk: Desk) -> None:
    """Every line, with its level, its time, and its fields as columns."""
    lines = await log_of_a_deployment(place, crm, tmp_path, desk)
    file = tmp_path / "deskgate.log"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert LNAV is not None
    environ = {**os.environ, "HOME": str(tmp_path), "TERM": "dumb"}

    def lnav(*arguments: str) -> str:
        told = subprocess.run([str(LNAV), *arguments], env=environ, capture_output=True, check=True)
        assert b"error" not in told.stderr
        return told.stdout.decode()

    lnav("-i", str(ROOT / "ops" / "lnav" / "deskgate.json"))
    query = ";SELECT log_level, log_body AS event, code_name, session FROM deskgate_log ORDER BY log_line"
    rows = json.loads(lnav("-n", "-c", query, "-c", ":write-json-to -", str(file)))
    in_time = sorted(lines, key=lambda line: str(line["timestamp"]))
    for row in rows:
        row["event"] = row["event"].strip()  # it is padded
    assert sorted(row["event"] for row in rows) == sorted(line["event"] for line in in_time)
    refused = [row for row in rows if row["event"] == "callback.refused"]
    assert [(row["log_level"], row["code_name"]) for row in refused] == [("warning", "NO_ROUTE")]
