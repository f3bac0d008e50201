"""`deskgate try` shows each step of a lookup, on real backends, and no secret."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.crm.server import Crm
from tests.desk import ROOT, Place
from tests.documents import blocks
from tests.processes import Process

pytestmark = pytest.mark.timeout(120)
DOCUMENT = (ROOT / "docs" / "try.md").read_text(encoding="utf-8")
CONFIG = blocks(DOCUMENT, "toml")[0]
KEY = 'a-secret/of 31+characters="long'


async def try_(
    config: str, tmp_path: Path, *arguments: str, environ: dict[str, str] | None = None
) -> tuple[int, str]:
    """Run the command on a configuration; return its exit code and what it printed."""
    file = tmp_path / "deskgate.toml"
    file.write_text(config)
    command = ("-m", "gateway", "try", *arguments, "--config", str(file))
    async with Process(
        *command, environ={"PYTHONPATH": str(ROOT), **(environ or {})}, cwd=tmp_path
    ) as process:
        code = await process._process.wait()
        await process._reader
    return code, "\n".join(line["text"] if "text" in line else json.dumps(line) for line in process.lines)


async def try_json(
    config: str, tmp_path: Path, *arguments: str, environ: dict[str, str] | None = None
) -> dict[str, Any]:
    """Run the command with `--json`; return what it printed."""
    _, shown = await try_(config, tmp_path, *arguments, "--json", environ=environ)
    found: dict[str, Any] = json.loads(shown)
    return found


def environ(place: Place) -> dict[str, str]:
    """Return the variables that the documented configuration reads."""
    return {"CRM_URL": place.crm_url, "CRM_TOKEN": KEY}


def normal(text: str, port: str) -> list[str]:
    """Return the lines of a session, without what differs from one run to the next."""
    text = re.sub(r"\d+ ms", "3 ms", text.replace(f":{port}", ":9000"))
    text = re.sub(r"Server: .*", "Server: crm", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.mark.usefixtures("crm")
async def test_documented_session_finds_the_slips_of_a_mapping(place: Place, tmp_path: Path) -> None:
    """The page shows what the command prints."""
    command, _, shown = blocks(DOCUMENT, "console")[0].partition("\n")
    arguments = command.removeprefix("$ deskgate try ").replace("--config deskgate.toml ", "").split()
    code, printed = await try_(CONFIG, tmp_path, *arguments, environ=environ(place))
    port = place.crm_url.rpartition(":")[2]
    assert normal(printed, port) == normal(shown, "9000")
    assert code == 0


async def test_a_dry_run_sends_nothing(place: Place, crm: Crm, tmp_path: Path) -> None:
    """A question may cost money, or be somebody's."""
    code, printed = await try_(
        CONFIG, tmp_path, "order", "--set", "orderId=7", "--dry-run", environ=environ(place)
    )
    assert (code, crm.stats.calls) == (0, {})
    assert f"GET {place.crm_url}/orders/7" in printed
    assert "Authorization: •••" in printed


async def test_a_given_reply_is_judged_and_nobody_asked(place: Place, crm: Crm, tmp_path: Path) -> None:
    """An answer rule is tried on a reply that comes once a month."""
    rules = '[[lookups.order.answers]]\nwhen = { error = "*" }\nis = "unavailable"\n'
    reply = tmp_path / "reply.json"
    reply.write_text(json.dumps({"error": f"key {KEY} is over its quota"}))
    given = ("order", "--reply", str(reply), "--status", "403")
    found = await try_json(CONFIG + rules, tmp_path, *given, environ=environ(place))
    assert crm.stats.calls == {}
    assert found["rule"] == "lookups.order.answers[0]"
    assert (found["code"], found["code_name"]) == (120002, "BACKEND_UNAVAILABLE")
    assert found["reply"]["body"] == '{"error":"key ••• is over its quota"}'
    assert (await try_(CONFIG + rules, tmp_path, *given, environ=environ(place)))[0] == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("ordr",), "'ordr' is not a lookup of this configuration; did you mean 'order'?"),
        (("order", "--set", "orderId"), "--set takes NAME=VALUE, not 'orderId'"),
        (("order", "--dry-run", "--reply", "-"), "use one of them"),
        (("order", "--reply", "nowhere.json"), "No such file"),
    ],
)
async def test_a_wrong_command_says_what_to_write(
    place: Place, tmp_path: Path, wrong: tuple[str, ...], said: str
) -> None:
    """Exit code 2, as for every error of usage."""
    code, printed = await try_(CONFIG, tmp_path, *wrong, environ=environ(place))
    assert code == 2
    assert said in " ".join(printed.split())


async def test_what_hinders_a_lookup_is_said(place: Place, crm: Crm, tmp_path: Path) -> None:
    """An input that is missing, a variable that nobody reads, a condition that does not hold."""
    config = CONFIG + 'when = { channel = "web" }\n'
    found = await try_json(config, tmp_path, "order", "--set", "order_id=7", environ=environ(place))
    assert (found["code_name"], found["reason"]) == (
        "MISSING_INPUT",
        "orderId is absent or empty: give it with --set",
    )
    assert found["notes"] == [
        "--set order_id: the lookup does not read it",
        "its `when` does not hold (channel = 'web'): in a route it would be left out",
    ]
    assert crm.stats.calls == {}


async def test_what_check_warns_of_is_said(place: Place, tmp_path: Path) -> None:
    """Of this lookup and its backend alone."""
    path = 'path = "/orders/{orderId}"'
    config = CONFIG.replace(path, f'{path}, query = {{ q = "name = {{orderId}}" }}')
    assert config != CONFIG
    found = await try_json(
        config, tmp_path, "order", "--set", "orderId=7", "--dry-run", environ=environ(place)
    )
    assert found["notes"][0].startswith("lookups.order.request.query.q: a value of {orderId} may add to it")


async def test_a_backend_that_is_not_there_has_its_code(tmp_path: Path) -> None:
    """As a worker would answer."""
    nowhere = {"CRM_URL": "http://127.0.0.1:1", "CRM_TOKEN": KEY}
    found = await try_json(CONFIG, tmp_path, "order", "--set", "orderId=7", environ=nowhere)
    assert (found["code_name"], found["reply"]) == ("BACKEND_UNAVAILABLE", None)
    assert found["question"]["line"] == "GET http://127.0.0.1:1/orders/7"


SELECT = "select tier from customers where uid = :uid"
AT = "place = { query = 'apikey' }"
CREDENTIALS = [
    'type = "basic", username = "someone", password = "${CRM_TOKEN}"',
    'type = "header", name = "X-Tenant", value = "${CRM_TOKEN}"',
    f'type = "key", value = "${{CRM_TOKEN}}", {AT}',
    'type = "key", value = "${CRM_TOKEN}", place = { header = "X-Key" }',
    f'type = "sign", secret = "${{CRM_TOKEN}}", over = "{{path}}{{timestamp}}{{secret}}", {AT}',
    'type = "oauth2", token_url = "${CRM_URL}/token", client_id = "me", client_secret = "${CRM_TOKEN}"',
]


@pytest.mark.usefixtures("crm")
@pytest.mark.parametrize("auth", CREDENTIALS)
async def test_no_kind_of_credentials_is_shown(place: Place, tmp_path: Path, auth: str) -> None:
    """A screen is shared, and a terminal's history is kept."""
    config = re.sub(r"^auth = .*$", lambda _: f"auth = {{ {auth} }}", CONFIG, flags=re.MULTILINE)
    config += '[lookups.other]\nbackend = "crm"\nvariables = { id = "id" }\n'
    config += 'request = { path = "/orders/{orderId}", query = { mine = "${CRM_TOKEN}" } }\n'
    for lookup in ("order", "other"):
        for more in ((), ("--dry-run",), ("--json",)):
            arguments = (lookup, "--set", "orderId=7", *more)
            _, printed = await try_(config, tmp_path, *arguments, environ=environ(place))
            assert "•••" in printed or "oauth2" in auth, printed
            for form in (KEY, "a-secret", "31+characters", "c29tZW9uZTph"):
                assert form not in printed


@pytest.mark.usefixtures("crm")
async def test_no_secret_within_a_longer_text_is_shown(place: Place, tmp_path: Path) -> None:
    """A SOAP body has its password between its places; and some hold a header of four letters for a key."""
    config = """
[backends.crm]
url = "${CRM_URL}"
auth = { type = "header", name = "X-Who", value = "k4711" }
[lookups.order]
backend = "crm"
variables = { id = "id" }
[lookups.order.request]
method = "POST"
path = "/bot${CRM_TOKEN}/orders"
content_type = "text/xml"
body = "<E><Password>${CRM_TOKEN}</Password><id>{orderId}</id></E>"
headers = { X-Key = "key ${CRM_TOKEN} for {orderId}" }
"""
    environ = {"CRM_URL": place.crm_url, "CRM_TOKEN": "a-secret-of-21-letters"}
    for more in ((), ("--dry-run",), ("--json",)):
        _, printed = await try_(config, tmp_path, "order", "--set", "orderId=77", *more, environ=environ)
        assert "<id>77</id>" in printed
        assert "secret" not in printed
        assert "k4711" not in printed


async def test_sql_shows_statement_parameters_and_rows(tmp_path: Path) -> None:
    """A row that is not there is told from a column that is not."""
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.execute("create table customers (uid text, tier text)")
        database.execute("insert into customers values ('u1', 'gold')")
    config = (
        f'[backends.db]\nurl = "sqlite:///{tmp_path}/crm.db"\n[lookups.tier]\nbackend = "db"\n'
        f'sql = "{SELECT}"\n'
        'variables = { tier = "teir" }\nnot_found = { tier = "none" }\nempty = "ok"\n'
    )
    found = await try_json(config, tmp_path, "tier", "--set", "uid=u1")
    assert found["question"]["line"] == SELECT
    assert found["question"]["parameters"] == {"uid": "u1"}
    assert found["reply"]["body"] == '{"tier":"gold"}'
    assert found["expressions"]["tier"]["why"] == "the reply has no `teir`; did you mean `tier`?"
    found = await try_json(config, tmp_path, "tier", "--set", "uid=u2")
    assert (found["found"], found["variables"]) == (False, {"tier": "none"})
    found = await try_json(config, tmp_path, "tier", "--set", "uid=u2", "--dry-run")
    assert found["reply"] is None
    (tmp_path / "row.json").write_text('{"teir": "silver"}')
    found = await try_json(config, tmp_path, "tier", "--reply", str(tmp_path / "row.json"))
    assert found["variables"] == {"tier": "silver"}
    for text, reason in (("<html>", "the reply is not JSON"), ('"' + "x" * 2_000_000 + '"', "max_reply")):
        (tmp_path / "row.json").write_text(text)
        found = await try_json(config, tmp_path, "tier", "--reply", str(tmp_path / "row.json"))
        assert found["code_name"] == "BAD_BACKEND_REPLY"
        assert reason in found["reason"]


async def test_python_shows_what_the_function_returned(tmp_path: Path) -> None:
    """And that it found nothing, and that it raised."""
    (tmp_path / "mine.py").write_text(
        "from gateway.lookup import Ask, NotFound\n"
        "async def risk(ask: Ask):\n"
        "    if ask.inputs['uid'] == 'nobody': raise NotFound\n"
        "    return {'level': 9 // int(ask.inputs['uid'])}\n"
    )
    config = (
        '[lookups.risk]\npython = "mine:risk"\ninputs = ["uid"]\n'
        'variables = { risk = "level" }\nnot_found = { risk = "?" }\n'
    )
    found = await try_json(config, tmp_path, "risk", "--set", "uid=2")
    assert (found["reply"]["body"], found["variables"]) == ('{"level":4}', {"risk": "4"})
    found = await try_json(config, tmp_path, "risk", "--set", "uid=nobody")
    assert (found["found"], found["variables"]) == (False, {"risk": "?"})
    found = await try_json(config, tmp_path, "risk", "--set", "uid=0")
    assert (found["code_name"], found["reason"]) == ("LOOKUP_FAILED", "mine:risk raised ZeroDivisionError")
    assert "mine.py:" in found["notes"][-1]
    assert found["notes"][-1].startswith("raised at ")
    code, said = await try_(config.replace("mine:risk", "mine:rsk"), tmp_path, "risk", "--set", "uid=0")
    assert code == 2
    assert "lookups.risk: 'mine:rsk' cannot be imported" in said


async def test_terminals_obey_nothing_of_a_reply(place: Place, tmp_path: Path) -> None:
    """A visitor's name may have escape sequences, and words in square brackets are no markup."""
    (tmp_path / "reply.json").write_text(json.dumps({"order": {"status": "\x1b[31m[bold]x[/]"}}))
    arguments = ("order", "--reply", str(tmp_path / "reply.json"))
    _, printed = await try_(CONFIG, tmp_path, *arguments, environ=environ(place))
    assert "\x1b" not in printed
    assert "'\\x1b[31m[bold]x[/]'" in printed
