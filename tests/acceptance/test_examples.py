"""Each example runs against an emulator of what its vendor documents, with its ways to say no."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.core.errors import Code
from gateway.declared.catalog import compile_catalog, read
from gateway.front.app import gateway
from gateway.lookups.credentials import token
from tests.asking import serving
from tests.databases import PostgreSql, find_postgresql
from tests.desk import ROOT, Desk, Heard, Place
from tests.examples.emulator import Emulator
from tests.examples.vendors import VENDORS
from tests.variants import varied
from workers.main import workers

pytestmark = pytest.mark.timeout(60)

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/deskgate.toml"))
PROGRAMS = find_postgresql()
TEST = {
    "gateway": {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "drain": "0s", "budget": "4s"},
}


def text_of(example: str) -> str:
    """Return an example."""
    return (ROOT / "examples" / example / "deskgate.toml").read_text(encoding="utf-8")


def private_key() -> str:
    """Return a key for assertions."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    return (
        rsa.generate_private_key(65537, 2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


@asynccontextmanager
async def running(example: str, place: Place, desk: Desk, environ: dict[str, str]) -> AsyncIterator[Desk]:
    """Run an example as it is, but for its ports, the keys' prefix, and how long answers are fresh."""
    tables = text_of(example)
    names = re.findall(r"^\[lookups\.(\w+)\]$", tables, re.MULTILINE)
    changes: dict[str, object] = {"gateway": TEST["gateway"], "redis.prefix": place.prefix}
    changes |= {f"lookups.{name}.fresh": "0s" for name in names}
    for backend in re.findall(r"^\[backends\.(\w+)\]$", tables, re.MULTILINE):
        changes[f"backends.{backend}.attempt_timeout"] = "3s"
        if "_DSN" not in tables:
            changes[f"backends.{backend}.idle_before_reuse"] = "0s"
    changes["apps.1400000001"] = {"signature": "off"}
    environ = environ | {"REDIS_URL": place.redis_url, "DESK_TOKEN": "x"}
    catalog = compile_catalog(*read(varied(tables, changes), environ))
    assert catalog.warnings == ()
    async with workers(catalog, catalog.lanes, grace=0), gateway(catalog) as here:
        yield desk.at(here.callbacks)


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.example)
async def test_example_is_answered_and_survives_what_its_vendor_says(
    vendor: type[Emulator], place: Place, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered; not found; the token dead in mid-flight; throttled; down."""
    monkeypatch.setattr(token, "EARLY", 0.0)  # the tokens are old
    emulator = vendor()
    async with serving(emulator.handle) as url:
        environ = dict.fromkeys(re.findall(r"\$\{(\w+_URL)\}", text_of(vendor.example)), url)
        environ |= vendor.environ | {"SALESFORCE_KEY": private_key()}
        async with running(vendor.example, place, desk, environ) as here:

            async def ask(session: str, inputs: dict[str, str]) -> Heard:
                return await here.call(session, **inputs)

            found = await ask("s1", vendor.found)
            assert (found.code, found.variables) == (0, vendor.variables), emulator.wrong
            none = await ask("s2", vendor.missing)
            assert (none.code, none.variables) == (0, vendor.none)
            emulator.kill_token()
            dead = await ask("s1", vendor.found)
            assert dead.variables == vendor.variables
            assert dead.code == (0 if vendor.renews else Code.BACKEND_DENIED)
            emulator.good = emulator.good or "good"
            if vendor.throttles:
                emulator.throttled = True
                busy = await ask("s1", vendor.found)
                assert (busy.code, busy.variables) == (Code.BACKEND_THROTTLED, vendor.variables)
            emulator.throttled, emulator.down = False, True
            down = await ask("s1", vendor.found)
            assert down.variables == vendor.variables
            assert down.code in {Code.BACKEND_UNAVAILABLE, Code.BACKEND_THROTTLED}
        assert emulator.wrong == []
        assert emulator.tokens <= 2


@pytest.mark.skipif(PROGRAMS is None, reason="SQL lookups: PostgreSQL is not installed")
async def test_example_of_postgresql_is_answered(place: Place, desk: Desk) -> None:
    """Answered; not found; the database gone."""
    assert PROGRAMS is not None
    import psycopg  # noqa: PLC0415 - an extra

    with PostgreSql(PROGRAMS) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("create table customers (uid text, name text, tier text, since date)")
            connection.execute("create table orders (uid text, number text, total numeric, placed date)")
            connection.execute("insert into customers values ('user517', 'Lin Xia', 'gold', '2020-02-29')")
            connection.execute("insert into orders values ('user517', 'A1', 29.90, '2024-02-29')")
        async with running("postgresql", place, desk, {"WAREHOUSE_DSN": server.url}) as here:
            found = await here.call("s1")
            wanted = {
                "customer_name": "Lin Xia",
                "customer_tier": "gold",
                "customer_since": "2020",
                "order_count": "1",
                "last_order": "A1",
                "last_total": "29.90",
            }
            assert (found.code, found.variables) == (0, wanted)
            server.stop()
            gone = await here.call("s1")
            assert (gone.code, gone.variables) == (Code.BACKEND_UNAVAILABLE, wanted)


def test_every_example_is_run_and_short() -> None:
    """Sixty lines, with its sources named."""
    assert {vendor.example for vendor in VENDORS} | {"postgresql"} == set(EXAMPLES)
    for example in EXAMPLES:
        text = text_of(example)
        assert len(text.splitlines()) < 60, example
        assert re.search(r"^#.*\bSources?:", text, re.MULTILINE), example


def test_init_copies_an_example_and_never_writes_over_a_file(tmp_path: Path) -> None:
    """It says what to do next."""
    path = tmp_path / "own.toml"
    listed = CliRunner().invoke(main, ["init"])
    assert all(example in listed.output for example in EXAMPLES)
    made = CliRunner().invoke(main, ["init", "--from", "salesforce", "-o", str(path)])
    assert (made.exit_code, path.read_text(encoding="utf-8")) == (0, text_of("salesforce"))
    assert f"deskgate check -c {path}" in made.output
    again = CliRunner().invoke(main, ["init", "--from", "wecom", "-o", str(path)])
    assert again.exit_code == 1
    assert path.read_text(encoding="utf-8") == text_of("salesforce")
    unknown = CliRunner().invoke(main, ["init", "--from", "siebel"])
    assert unknown.exit_code == 2
    assert "there are: dingtalk" in unknown.output
    assert (
        CliRunner().invoke(main, ["init", "--from", "wecom", "-o", str(tmp_path / "no" / "x")]).exit_code == 1
    )
