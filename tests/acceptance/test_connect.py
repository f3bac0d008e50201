"""``check --connect`` and ``health``: what works is said, what does not is named with what to do."""

import asyncio
import re
import time
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gateway.crm.server import Crm
from gateway.tools.processes import Valkey
from tests.desk import Place
from tests.documents import MANUAL
from tests.processes import Process, WorkerProcess
from tests.vendor import vendor

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def own_place(valkey: Valkey, crm: Crm) -> Place:
    """Where this test's parts live: on a Valkey of its own."""
    return Place(valkey.url, f"t{uuid4().hex[:12]}", crm.url)


async def run(place: Place, config: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run a command; return its exit code and its lines."""
    command = ("-m", "gateway", *arguments, "-c", str(config))
    async with Process(*command, environ=place.environ, cwd=config.parent) as process:
        code = await process.ended()
    return code, [line["text"].rstrip() for line in process.lines]


def written(path: Path, text: str) -> Path:
    """Return a file with this text."""
    path.write_text(text)
    return path


async def test_all_that_works_is_said_and_nothing_is_left(own_place: Place, tmp_path: Path) -> None:
    """An operator runs it before a deployment, against the server of production."""
    config = written(tmp_path / "deskgate.toml", own_place.config())
    code, lines = await run(own_place, config, "check", "--connect")
    assert code == 0, lines
    told = [line.split()[:2] for line in lines if line.startswith(("  ok", "  FAIL", "  warn"))]
    assert told == [["ok", what] for what in ("redis", "server", "jobs", "channels", "crm")]
    async with Redis.from_url(own_place.redis_url) as redis:
        assert await redis.keys("*") == []


async def test_a_token_in_the_path_of_an_address_is_not_shown(own_place: Place, tmp_path: Path) -> None:
    """Some APIs have it there; a screen is shared, and CI keeps what is printed."""
    text = own_place.config({"backends.crm.url": f"{own_place.crm_url}/bot${{REDIS_TOKEN}}/api"})
    config = written(tmp_path / "deskgate.toml", text.replace("REDIS_TOKEN", "file:token"))
    (tmp_path / "token").write_text("123:AAbbCC\n")
    code, lines = await run(own_place, config, "check", "--connect")
    assert code == 0, lines
    (crm,) = [line for line in lines if line.startswith("  ok   crm")]
    assert f"{own_place.crm_url}/bot•••/api answers" in crm


async def test_documented_rights_are_enough(own_place: Place, tmp_path: Path) -> None:
    """Such a user may not even ask the server for its version."""
    (rights,) = re.findall(r"A user of its own \(ACL\) needs `([^`]+)`", MANUAL)
    async with Redis.from_url(own_place.redis_url) as redis:
        rules = rights.replace("PREFIX", own_place.prefix).split()
        await redis.execute_command("ACL", "SETUSER", "me", "on", ">pw", *rules)
    url = own_place.redis_url.replace("unix://", "unix://me:pw@")
    place = Place(url, own_place.prefix, own_place.crm_url)
    config = written(tmp_path / "deskgate.toml", place.config())
    code, lines = await run(place, config, "check", "--connect")
    assert code == 0, lines
    assert "pw" not in str(lines).replace(str(tmp_path), "")


FAULTS = {
    "full": (["CONFIG SET maxmemory 1"], "jobs", "used memory"),
    "no publish": (["ACL SETUSER default -publish"], "jobs", "publish"),
    "no scripts": (["ACL SETUSER default -eval -evalsha"], "jobs", "eval"),
    "no subscribe": (["ACL SETUSER default -subscribe"], "channels", "+subscribe"),
}


@pytest.mark.parametrize("why", FAULTS)
async def test_what_redis_refuses_is_named(
    why: str, own_place: Place, valkey: Valkey, tmp_path: Path
) -> None:
    """In Redis' own words."""
    commands, what, said = FAULTS[why]
    async with Redis.from_url(valkey.url) as redis:
        for command in commands:
            await redis.execute_command(*command.split())
    config = written(tmp_path / "deskgate.toml", own_place.config())
    code, lines = await run(own_place, config, "check", "--connect")
    assert code == 1
    (failed,) = [line for line in lines if line.startswith(f"  FAIL {what}")]
    assert said in failed
    assert "Traceback" not in str(lines)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-lru", "noeviction"])
async def test_server_that_may_throw_jobs_away_is_warned_about(
    policy: str, own_place: Place, valkey: Valkey, tmp_path: Path
) -> None:
    """A job has a time to live, so each policy but one may evict it, and nobody hears of it."""
    async with Redis.from_url(valkey.url) as redis:
        await redis.config_set("maxmemory", "100mb")
        await redis.config_set("maxmemory-policy", policy)
    config = written(tmp_path / "deskgate.toml", own_place.config())
    code, lines = await run(own_place, config, "check", "--connect")
    told = [line for line in lines if line.startswith("  warn server")]
    assert code == 0
    assert [f"maxmemory-policy {policy} may throw jobs away" in line for line in told] == (
        [] if policy == "noeviction" else [True]
    )


async def test_what_cannot_be_reached_is_named(place: Place, tmp_path: Path) -> None:
    """Redis, a backend, a Python lookup: each fault is a line, and all are told at once."""
    away = Place("redis://:hunter2@127.0.0.1:1/0", place.prefix, "http://127.0.0.1:1")
    churn = {"python": "nowhere:churn", "variables": {"churn_risk": "risk"}}
    config = written(tmp_path / "deskgate.toml", away.config({"lookups.churn": churn}))
    code, lines = await run(away, config, "check", "--connect")
    assert code == 1
    failed = [line.split()[1] for line in lines if line.startswith("  FAIL")]
    assert failed == ["redis", "crm", "python"]
    assert "  FAIL crm      http://127.0.0.1:1: no connection: Connection refused" in lines
    assert "hunter2" not in str(lines)


async def test_health_tells_of_lanes_without_a_worker(place: Place, tmp_path: Path) -> None:
    """A supervisor goes by the exit code; a person reads the line."""
    second = {"url": "${CRM_URL}", "attempts": 1}
    changes = {"backends.second": second, "lookups.customer.backend": "second"}
    config = written(tmp_path / "deskgate.toml", place.config(changes))
    assert await run(place, config, "health") == (1, ["Error: no worker runs for crm, second"])
    worker = WorkerProcess(config, place)
    worker._command = (*worker._command, "--lane", "crm")
    async with worker:
        begun = time.monotonic()
        assert await run(place, config, "health", "--lane", "crm") == (0, ["ok"])
        assert time.monotonic() - begun < 3
        assert (await run(place, config, "health"))[0] == 1
        assert (await run(place, config, "health", "--lane", "nothing"))[0] == 2
    away = Place("redis://127.0.0.1:1/0", place.prefix, place.crm_url)
    code, (line,) = await run(away, config, "health")
    assert code == 1
    assert line.startswith("Error: Redis cannot be reached")


async def test_commands_find_the_server_of_up(place: Place, tmp_path: Path) -> None:
    """``forget`` is needed where ``deskgate up`` runs, too."""
    embedded = Place("embedded", place.prefix, place.crm_url)
    config = written(tmp_path / "deskgate.toml", embedded.config())
    assert (await run(embedded, config, "forget", "--session", "s1"))[0] == 1
    command = ("-m", "gateway", "up", "-c", str(config), "--data", "data")
    async with Process(*command, environ=embedded.environ, cwd=tmp_path) as process:
        await process.event("gateway.started")
        await process.event("worker.started")
        assert (tmp_path / "data/address").stat().st_mode & 0o777 == 0o600
        heard = await asyncio.gather(
            run(embedded, config, "forget", "--session", "s1"),
            run(embedded, config, "health"),
            run(embedded, config, "check", "--connect"),
        )
        assert [code for code, _ in heard] == [0, 0, 0], heard
        assert await process.end() == 0
    assert not (tmp_path / "data/address").exists()


async def test_token_is_asked_for_and_a_refusal_says_why(own_place: Place, tmp_path: Path) -> None:
    """Before the first callback, and without the secret."""
    async with vendor() as (crm, url):
        auth = {
            "type": "oauth2",
            "token_url": f"{url}/token",
            "client_id": "deskgate",
            "client_secret": "s3cret",
        }
        config = written(tmp_path / "deskgate.toml", own_place.config({"backends.crm.auth": auth}))
        code, lines = await run(own_place, config, "check", "--connect")
        assert code == 0, lines
        assert any("a token was granted, for 3600 s" in line for line in lines)
        crm.reply = (401, {"error": "invalid_client", "error_description": "s3cret"}, {})
        code, lines = await run(own_place, config, "check", "--connect")
    assert code == 1
    assert any("token: invalid_client" in line for line in lines)
    assert "s3cret" not in "".join(lines)
