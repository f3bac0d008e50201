"""Commands that cannot run say what to do, in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.desk import APP, ROOT, Place, when
from tests.processes import Process

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("command", ["gateway", "worker"])
@pytest.mark.parametrize(
    ("module", "what"),
    [(None, "ModuleNotFoundError"), ("", "AttributeError"), ("1 / 0", "ZeroDivisionError")],
)
async def test_python_lookup_that_cannot_be_imported_is_named(
    place: Place, tmp_path: Path, command: str, module: str | None, what: str
) -> None:
    """An operator at night needs the lookup and the place to look, not a trace of our code."""
    if module is not None:
        (tmp_path / "mycrm.py").write_text(module)
    churn = {"python": "mycrm:churn", "variables": {"churn_risk": "risk"}}
    changes = {f"apps.{APP}.redis_lost": "direct", "routes": None, "lookups": {"churn": churn}}
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config(changes))
    environ = {**place.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    async with Process("-m", "gateway", command, "-c", str(config), environ=environ) as process:
        assert await process.ended() == 2
    said = json.dumps(process.lines)
    assert f"lookups.churn: 'mycrm:churn' cannot be imported: {what}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["worker", "gateway"])
async def test_working_directory_is_looked_at_last(place: Place, tmp_path: Path, command: str) -> None:
    """A user's own ``workers.py`` beside the configuration must not be run in place of our worker.

    The lookup's module has no other place to come from: that one is still found there.
    """
    for name in ("workers.py", "redis.py", "click.py", "gateway/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the working directory came first')")
    (tmp_path / "mycrm.py").write_text(
        "from gateway.lookup import Ask\nasync def churn(ask: Ask): return {'risk': 'high'}\n"
    )
    text = place.config().partition("[[routes]]")[0]
    text = text.replace(f"[apps.{APP}]\n", f'[apps.{APP}]\nredis_lost = "direct"\n')
    text += '[lookups.churn]\npython = "mycrm:churn"\nvariables = { churn_risk = "risk" }\n'
    config = tmp_path / "deskgate.toml"
    config.write_text(text)
    arguments = ("-P", "-m", "gateway", command, "-c", str(config))  # as the console script: -P
    async with Process(*arguments, environ=place.environ, cwd=tmp_path) as process:
        await when(lambda: process.events(f"{command}.started") or not process.running)
        assert process.running, process.lines
        assert await process.end() == 0


@pytest.mark.parametrize(
    ("script", "said"),
    [(None, "the script cannot be read"), ("seed = [", "not TOML"), ("[[rules]]\nshares = 1", "shares")],
)
def test_script_that_cannot_be_played_is_named(tmp_path: Path, script: str | None, said: str) -> None:
    """Not as a port that cannot be had, and without a trace."""
    path = tmp_path / "crm.toml"
    if script is not None:
        path.write_text(script)
    result = CliRunner().invoke(main, ["crm", "--port", "0", "--script", str(path)])
    assert result.exit_code == 2
    assert said in result.output
    assert "crm.toml" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["gateway", "up", "forget", "health"])
@pytest.mark.parametrize("content", [None, "nonsense"])
def test_configuration_that_cannot_be_used_exits_2(tmp_path: Path, command: str, content: str | None) -> None:
    """``check`` alone exits 1: faults are its answer."""
    config = tmp_path / "deskgate.toml"
    if content is not None:
        config.write_text(content)
    arguments = ["--session", "s1"] if command == "forget" else []
    result = CliRunner().invoke(main, [command, "-c", str(config), *arguments])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert CliRunner().invoke(main, ["check", "-c", str(config)]).exit_code == 1


@pytest.mark.parametrize(
    "arguments", [("worker", "--grace", "-5"), ("crm", "--port", "70000"), ("crm", "--port", "-1")]
)
def test_number_out_of_range_is_an_error_of_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A worker with a negative grace would cancel every job; port 70000 would be another one."""
    config = tmp_path / "deskgate.toml"
    config.write_text("")
    file = ("-c", str(config)) if arguments[0] == "worker" else ()
    result = CliRunner().invoke(main, [*arguments, *file])
    assert result.exit_code == 2
    assert "is not in the range" in result.output


@pytest.mark.parametrize("host", ["gate..example", "a" * 64])
def test_name_that_no_host_can_have_is_named(tmp_path: Path, host: str) -> None:
    """A template with an empty variable makes two points of one. Not a trace of a codec."""
    config = tmp_path / "deskgate.toml"
    config.write_text(f'gateway.listen = "{host}:0"\n')
    called = ["call", f"http://{host}/", "--app", "1", "--session", "s"]
    for arguments, code in ((["gateway", "-c", str(config)], 2), (called, 1)):
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )
        assert (ended.returncode, f"{host} cannot be the name of a host" in ended.stderr.decode()) == (
            code,
            True,
        )
        assert b"Traceback" not in ended.stderr


CHINESE = {"event": "lookup.said", "level": "info", "session": "客户😀"}


@pytest.mark.parametrize(
    ("redirected", "environ", "said"),
    [
        ("< log", {"PYTHONIOENCODING": "ascii"}, r"session=\u5ba2\u6237\U0001f600"),
        ("< log", {"PYTHONIOENCODING": "gbk"}, r"session=客户\U0001f600"),
        ("< log", {"PYTHONIOENCODING": "utf-8"}, "session=客户😀"),
        ("< log >&-", {}, ""),
        ("<&-", {}, ""),
    ],
)
def test_streams_may_be_closed_or_of_another_encoding(
    tmp_path: Path, redirected: str, environ: dict[str, str], said: str
) -> None:
    """A terminal in GBK has no emoji, and a nickname may have one."""
    (tmp_path / "log").write_text(json.dumps(CHINESE, ensure_ascii=False) + "\n", encoding="utf-8")
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -m gateway logs {redirected}', sys.executable],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        check=False,
    )
    assert ended.stderr == b""
    assert said in ended.stdout.decode(environ.get("PYTHONIOENCODING", "utf-8"))
    assert ended.returncode == ("log" not in redirected)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk: Linux has one at hand")
@pytest.mark.parametrize(
    "command",
    ["schema", "check -c deskgate.toml", "logs log", "logs log --json", "try order -c deskgate.toml"],
)
def test_full_disk_is_told_in_one_line(place: Place, tmp_path: Path, command: str) -> None:
    """Whoever keeps a result in a file needs the cause, not a trace of ours, nor the code of a finding."""
    (tmp_path / "log").write_text(json.dumps(CHINESE) + "\n")
    (tmp_path / "deskgate.toml").write_text(place.config())
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -m gateway {command} > /dev/full', sys.executable],
        cwd=tmp_path,
        env={**os.environ, **place.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        capture_output=True,
        check=False,
    )
    assert ended.stderr.decode().endswith("Error: [Errno 28] No space left on device\n")
    assert b"Traceback" not in ended.stderr
    assert ended.returncode == 2


def test_forgetting_a_name_that_is_not_utf8_is_no_success(tmp_path: Path) -> None:
    """As where the locale has another charset than the terminal. "removed 0" would pass for forgotten."""
    (tmp_path / "deskgate.toml").write_text("")
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "forget", "-c", "deskgate.toml", "--user", b"\xff"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, b"the name is not UTF-8" in ended.stderr) == (2, True)


def test_check_says_what_nobody_would_hear_of(tmp_path: Path) -> None:
    """A budget that Desk does not wait for, no routes, a lookup in none: all of it runs, and helps nobody."""
    config = tmp_path / "deskgate.toml"
    config.write_text(
        '[gateway]\nbudget = "2s"\n[backends.crm]\nurl = "http://crm"\n[lookups.order]\nbackend = "crm"\n'
        'request = { path = "/{orderId}" }\nvariables = { status = "status" }\n'
    )
    result = CliRunner().invoke(main, ["check", "-c", str(config)])
    assert result.exit_code == 0
    assert "warning: gateway.budget: nobody waits for a reply after 2 s" in result.output
    assert "routes      none: every callback will be refused with NO_ROUTE" in result.output
    assert "unasked     order: in no route, and in no `prefetch`" in result.output
    assert CliRunner().invoke(main, ["check", "--strict", "-c", str(config)]).exit_code == 1
