"""Which lookups a callback makes, and what makes one answer an answer to another callback's question."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from gateway.core.errors import Code, NoRoute
from gateway.core.messages import Callback
from gateway.core.units import parse_duration
from gateway.declared.backend import PYTHON, PYTHON_LANE, PYTHON_TIMEOUT, Backend
from gateway.declared.catalog import Catalog, compile_catalog, load, read
from gateway.declared.lookup import LookupTable
from gateway.declared.reading import ConfigFaults
from gateway.declared.version import BACKEND_NOT_IN_VERSION, NOT_IN_VERSION
from gateway.front.dialects.desk import DESK
from gateway.front.ladder import descend, merge
from gateway.lookups.reply import map_not_found
from tests.desk import ROOT
from tests.variants import varied

LOOKUPS = """
[apps.1]
signature = "off"

[apps.2]
signature = "off"

[backends.crm]
url = "http://crm"
attempt_timeout = "300ms"

[backends.erp]
url = "http://erp"

[lookups.order]
backend = "crm"
request = { path = "/orders/{orderId}", query = { by = "{user}" } }
inputs = ["language", "orderId"]
variables = { status = "status" }

[lookups.stock]
backend = "erp"
request = { path = "/stock" }
variables = { stock = "stock" }

[lookups.customer]
backend = "crm"
request = { path = "/customers/{user}" }
variables = { name = "name" }

[lookups.churn]
python = "mycrm.lookups:churn"
inputs = ["user"]
variables = { risk = "risk" }
"""


def catalog(more: str = "", changes: Mapping[str, object] | None = None) -> Catalog:
    """Return the catalog of the lookups above with more tables, and with settings changed by their places."""
    return compile_catalog(*read(varied(LOOKUPS + more, changes or {}), {}))


def callback(app: int = 1, path: str = "/", **variables: str) -> Callback:
    """Return a callback."""
    return Callback(app, "s1", "", path, variables)


@pytest.mark.parametrize(
    ("wanted", "variables", "matches"),
    [
        ("order", {"node": "order"}, True),
        ("order", {"node": "Order"}, False),
        ("order", {"node": "order "}, False),
        ("order", {"node": ""}, False),
        ("order", {}, False),
        ("*", {"node": "anything"}, True),
        ("*", {"node": "*"}, True),
        ("*", {"node": ""}, False),
        ("*", {}, False),
        ("", {}, True),
        ("", {"node": ""}, True),
        ("", {"node": "order"}, False),
        ("**", {"node": "order"}, False),
    ],
)
def test_a_condition_is_a_value_anything_or_nothing(
    wanted: str,
    variables: dict[str, str],
    matches: bool,  # noqa: FBT001 - by position in the table above
) -> None:
    """A fixed value says which node is calling; an unset variable arrives as ``""``."""
    routed = catalog(f"[[routes]]\nwhen = {{ node = '{wanted}' }}\nlookups = ['order']")
    assert routed.routes[0].matches(Callback(1, "s1", "", "/", variables)) is matches


@pytest.mark.parametrize(
    ("timeout", "lookups", "given"),
    [
        ("100ms", ["order", "again"], None),
        ("900ms", ["order"], None),
        ("3s", ["order"], 0.9),
        ("3s", ["order", "again"], 0.45),
    ],
)
def test_redis_gets_no_longer_than_a_budget_has_room_for(
    timeout: str, lookups: list[str], given: float | None
) -> None:
    """Each wave of a callback may wait so long for a Redis that is silent."""
    more = "[lookups.again]\npython = 'm:f'\ninputs = ['status']\nvariables = { again = 'a' }\n"
    changes: dict[str, object] = {"redis.timeout": timeout, "gateway.budget": "1s"}
    found = catalog(f"{more}[[routes]]\nlookups = {lookups}\n", changes)
    cut = [one.message.partition(":")[0] for one in found.warnings if one.path == "redis.timeout"]
    if given is None:
        assert (found.settings.redis.timeout, cut) == (parse_duration(timeout), [])
    else:
        assert (found.settings.redis.timeout, cut) == (given, [f"is cut to {given * 1000:.0f} ms"])


def test_every_condition_must_hold() -> None:
    """App, path and variables narrow a route down together."""
    routed = catalog("[[routes]]\napp = 1\npath = '/order'\nwhen = { a = '1', b = '*' }\nlookups = []")
    good = callback(1, "/order", a="1", b="x")
    assert routed.route(good).name == "routes[0]"
    for other in (
        callback(2, "/order", a="1", b="x"),
        callback(1, "/orders", a="1", b="x"),
        callback(1, "/order/", a="1", b="x"),
        callback(1, "/order", a="2", b="x"),
        callback(1, "/order", a="1"),
    ):
        with pytest.raises(NoRoute):
            routed.route(other)


def test_the_first_route_that_matches_wins() -> None:
    """The order of the file decides; the last one may be for all that is left."""
    routed = catalog(
        "[[routes]]\nwhen = { a = '1' }\nlookups = ['order']\n"
        "[[routes]]\nwhen = { a = '*' }\nlookups = ['stock', 'order']\n"
        "[[routes]]\nlookups = []\n"
    )
    chosen = [routed.route(callback(a=a)) for a in ("1", "2", "")]
    assert [route.name for route in chosen] == ["routes[0]", "routes[1]", "routes[2]"]
    assert [[lookup.name for lookup in route.lookups] for route in chosen] == [
        ["order"],
        ["stock", "order"],
        [],
    ]


def test_without_a_route_the_refusal_says_where_to_look() -> None:
    """It is the first thing that a new installation sees."""
    with pytest.raises(NoRoute, match="routes"):
        catalog().route(callback())


def test_a_lookups_inputs_are_what_it_reads_and_what_it_declares() -> None:
    """Each once and in one order, so that equal questions are one question."""
    lookups = catalog().lookups
    assert lookups["order"].inputs == ("language", "orderId", "user")
    assert lookups["stock"].inputs == ()
    assert lookups["churn"].inputs == ("user",)


def test_lanes_are_the_backends_that_lookups_use() -> None:
    """Workers start one of each; a backend that nobody asks needs none."""
    assert catalog("[backends.idle]\nurl = 'http://idle'").lanes == ("crm", "erp", PYTHON_LANE)


def test_lane_is_asked_by_the_settings_of_its_backend() -> None:
    """Those of another one would cut its attempts short; Python lookups have settings of their own."""
    timeouts = [catalog().backend(lane).attempt_timeout for lane in ("crm", "erp", PYTHON_LANE)]
    assert timeouts[0] == 0.3
    assert timeouts[2] == PYTHON_TIMEOUT
    assert len(set(timeouts)) == 3


def test_a_running_attempt_may_end_one_attempt_timeout_after_the_deadline() -> None:
    """Its answer is late, and still worth keeping."""
    lookups = catalog().lookups
    assert [lookups[name].overrun for name in ("order", "stock", "churn")] == [0.3, 0.8, PYTHON_TIMEOUT]


def test_a_record_is_kept_while_it_is_served_and_refreshed_behind() -> None:
    """``stale_if_error = "0s"`` forbids last known answers, not those that are served with code 0."""
    settings = {"fresh": "1h", "stale_while_revalidate": "2h", "stale_if_error": "0s", "share": "session"}
    changes = {f"lookups.stock.{name}": value for name, value in settings.items()}
    changed = catalog(changes=changes).lookups["stock"]
    assert (changed.kept, changed.stale_while_revalidate, changed.share) == (10800.0, 7200.0, "session")


@pytest.mark.parametrize(
    ("fresh", "stale", "kept"), [("1h", "2h", 7200.0), ("2h", "2h", 7200.0), ("1h", "0s", 3600.0)]
)
def test_a_record_is_kept_as_long_as_it_can_serve(fresh: str, stale: str, kept: float) -> None:
    """Longer is a user's data without a purpose, shorter a last known answer lost."""
    changed = catalog(changes={"lookups.stock.fresh": fresh, "lookups.stock.stale_if_error": stale})
    assert changed.lookups["stock"].kept == kept


@pytest.mark.parametrize(
    "changes",
    [
        {"request.path": "/v2/orders/{orderId}"},
        {"request.query": {"by": "{language}"}},
        {"variables": {"status": "state"}},
        {"variables": {"state": "status"}},
        {"not_found": {"status": "none"}},
        {"backend": "erp"},
        {"request.method": "POST", "request.json": [1]},
        {"required": ["status"]},
        {"empty": "ok"},
        {"answers": [{"status": 404, "is": "bad"}]},
    ],
    ids=str,
)
def test_another_question_or_another_meaning_is_another_version(changes: dict[str, object]) -> None:
    """An answer that was kept under the old configuration does not answer the new one's question."""
    changed = {f"lookups.order.{place}": value for place, value in changes.items()}
    before, after = catalog(), catalog(changes=changed)
    assert before.lookups["order"].version != after.lookups["order"].version
    assert before.lookups["stock"].version == after.lookups["stock"].version


CHANGED = {  # another value than the default of each setting that takes part in the version
    "request": {"path": "/x"},
    "variables": {"status": "other"},
    "python": "mycrm:order",
    "inputs": ["channel"],
    "required": ["status"],
    "not_found": {"status": "none"},
    "answers": [{"status": 500, "is": "bad"}],
    "empty": "ok",
    "backend": "erp",
    "url": "http://elsewhere",
    "reply": "text",
    "force_list": ["orders.order"],
    "charset": "GBK",
    "options": {"a": 1},
    "sql": "select 2 as status",
    "rows": "all",
    "kind": "python",
    "open": "mycrm:open_other",
}
OWN = BACKEND_NOT_IN_VERSION | {"kind", "options", "open"}  # of Python lookups


WITHOUT_REQUEST: dict[str, object] = {"lookups.order.request": None}
PYTHON_BACKEND: dict[str, object] = {
    "lookups.order.python": "a:b",
    "lookups.order.backend": "own",
    "backends.own": {"kind": "python"},
    **WITHOUT_REQUEST,
}
SQL_BACKEND: dict[str, object] = {
    "lookups.order.sql": "select 1 as status",
    "lookups.order.backend": "db",
    "backends.db": {"url": "sqlite:///x"},
    **WITHOUT_REQUEST,
}
AROUND: dict[str, dict[str, object]] = {  # what must be there for a setting to be of use
    "lookups.order.force_list": {"lookups.order.reply": "xml"},
    "lookups.order.python": {"lookups.order.backend": None, **WITHOUT_REQUEST},
    "lookups.order.options": PYTHON_BACKEND,
    "lookups.order.sql": SQL_BACKEND,
    "lookups.order.rows": SQL_BACKEND,
    "backends.own.kind": PYTHON_BACKEND,
    "backends.own.options": PYTHON_BACKEND,
    "backends.own.open": PYTHON_BACKEND,
}


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *(("lookups.order", name) for name in LookupTable.__struct_fields__ if name not in NOT_IN_VERSION),
        *(("backends.own", name) for name in ("kind", "options", "open")),
        *(("backends.crm", name) for name in Backend.__struct_fields__ if name not in OWN),
    ],
)
def test_every_setting_is_in_the_version_but_those_named(place: str, name: str) -> None:
    """A setting that is added to the file and forgotten here would serve answers to another question."""
    around = AROUND.get(f"{place}.{name}", {})
    changes = {**around, f"{place}.{name}": CHANGED[name]}
    if name in {"python", "sql"}:  # in the place of a request
        around = {}
    if name == "kind":
        around = {"lookups.order.python": "a:b", **WITHOUT_REQUEST, "lookups.order.backend": None}
    before, after = catalog(changes=around), catalog(changes=changes)
    assert before.lookups["order"].version != after.lookups["order"].version


@pytest.mark.parametrize(
    "changes",
    [
        {"lookups.order.fresh": "1s", "lookups.order.stale_if_error": "1h"},
        {"lookups.order.fallback": {"status": "x"}},
        {"backends.crm.attempt_timeout": "1s", "backends.crm.attempts": 1, "backends.crm.concurrency": 1},
    ],
    ids=str,
)
def test_how_long_and_how_gently_is_no_other_version(changes: dict[str, object]) -> None:
    """Turning a knob in an outage must not throw away the last known answers."""
    assert catalog().lookups["order"].version == catalog(changes=changes).lookups["order"].version


def versions(changes: dict[str, object], *environments: dict[str, str]) -> set[str]:
    """Return the versions that the lookup ``stock`` has with these changes, in these environments."""
    text = varied(LOOKUPS, changes)
    return {compile_catalog(*read(text, environ)).lookups["stock"].version for environ in environments}


def test_a_path_of_the_environment_is_a_part_of_the_question() -> None:
    """Another path asks something else."""
    changes: dict[str, object] = {"lookups.stock.request.path": "${PLACE}"}
    assert len(versions(changes, {"PLACE": "/a"}, {"PLACE": "/b"})) == 2


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"lookups.stock.variables": {"stock": "${TEXT}"}}, ("units", "total_units")),
        (
            {"lookups.stock.required": ["${TEXT}"], "lookups.stock.variables": {"a": "a", "b": "b"}},
            ("a", "b"),
        ),
        ({"lookups.stock.not_found": {"stock": "${TEXT}"}}, ("0", "none")),
        ({"lookups.stock.answers": [{"when": "${TEXT}", "is": "bad"}]}, ("error", "errors")),
        ({"lookups.stock.answers": [{"when": {"code": "${TEXT}"}, "is": "bad"}]}, ("1", "2")),
        ({"backends.erp.answers": [{"when": "${TEXT}", "is": "bad"}]}, ("error", "errors")),
        ({"backends.erp.charset": "${TEXT}"}, ("GBK", "Big5")),
        (
            {
                "lookups.stock.request": None,
                "lookups.stock.backend": "db",
                "lookups.stock.sql": "${file:/tmp/stock.sql}",
                "backends.db": {"url": "sqlite:///x"},
            },
            ("select 1 as stock", "select 2 as stock"),
        ),
    ],
    ids=str,
)
def test_what_the_environment_says_of_a_reply_is_a_part_of_its_meaning(
    changes: dict[str, object], texts: tuple[str, str]
) -> None:
    """A statement in a file that is edited is another one; no key stands in it that is merely renewed."""
    environments = [{"TEXT": text, "file:/tmp/stock.sql": text} for text in texts]
    assert len(versions(changes, *environments)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"backends.erp.url": "http://elsewhere"},
        {"backends.erp.charset": "GBK"},
        {"backends.erp.answers": [{"when": {"errcode": 40001}, "is": "unauthorized"}]},
    ],
    ids=str,
)
def test_a_python_lookup_is_another_one_if_a_backend_means_something_else(changes: dict[str, object]) -> None:
    """It may ask each of them, and their rules say which responses it gets as answers."""
    python: dict[str, object] = {"lookups.stock.request": None, "lookups.stock.backend": None}
    python["lookups.stock.python"] = "a:b"
    assert versions(python, {}) != versions(python | changes, {})
    assert versions(python, {}) == versions(python | {"backends.erp.attempts": 1}, {})


@pytest.mark.parametrize("place", ["query", "headers", "json"])
def test_a_renewed_key_asks_the_same_question(place: str) -> None:
    """Keys of the environment are rotated; that must not cost every session its last known answer."""
    changes: dict[str, object] = {"lookups.stock.request.method": "POST"}
    changes[f"lookups.stock.request.{place}"] = {"key": "${KEY}"}
    assert len(versions(changes, {"KEY": "old"}, {"KEY": "new"})) == 1
    other = changes | {f"lookups.stock.request.{place}": {"key": "${OTHER}"}}
    assert versions(changes, {"KEY": "x"}) != versions(other, {"OTHER": "x"})


def test_what_the_environment_gives_can_be_sent() -> None:
    """Replies and answers are encoded: a marker, a fallback or a ``not_found`` is plain text by then."""
    text = """
[apps.1]
signature = "off"
markers = { status = "${X}" }
forget_on = ["${X}"]
[backends.crm]
url = "http://crm"
[lookups.order]
backend = "crm"
request.path = "/${X}"
request.method = "POST"
request.query = { q = "${X}" }
request.headers = { H = "${X}" }
request.json = { a = ["${X}"] }
inputs = ["${X}"]
variables = { status = "${X}" }
not_found = { status = "${X}" }
fallback = { status = "${X}" }
"""
    given = compile_catalog(*read(text, {"X": "x"}))
    lookup = given.lookups["order"]
    reply = merge(given.apps[1], [descend(lookup, Code.TIMEOUT, None, 0.0)])
    assert b'"Body":{"status":"x","x":"fallback"}' in DESK.encode(reply)
    assert msgspec.msgpack.encode(map_not_found(lookup)) == msgspec.msgpack.encode({"status": "x"})
    assert [type(name) for name in (*lookup.inputs, *given.apps[1].forget_on)] == [str, str]
    assert lookup.request is not None
    filled = lookup.request.fill({})
    assert (filled.target, filled.headers, filled.body) == ("/x?q=x", {"H": "x"}, b'{"a":["x"]}')


def test_apps_have_their_tokens_and_markers() -> None:
    """Numbers of the file become numbers of the query."""
    text = 'token = ["new", "old"]\nsignature = "optional"\non_degraded = "ok"\nmarkers = { age = "Age" }'
    app = compile_catalog(*read(f"[apps.1400000001]\n{text}", {})).apps[1400000001]
    assert (app.id, app.tokens, app.signature, app.on_degraded) == (
        1400000001,
        ("new", "old"),
        "optional",
        "ok",
    )
    assert (app.markers.status, app.markers.age, app.markers.reason) == (None, "Age", None)


def test_a_catalogs_parts_show_their_names_alone() -> None:
    """They stand in tracebacks, and a token, a path or a condition may come from the environment."""
    secret = "token = '${X}'\nsignature = 'required'"
    text = LOOKUPS.replace('signature = "off"', secret, 1).replace("/stock", "/${X}")
    given = compile_catalog(*read(text + "[[routes]]\nwhen = { a = '${X}' }\nlookups = []", {"X": "s3cret"}))
    assert repr([given.apps[1], given.routes[0], given.lookups["stock"]]) == (
        "[App(1), Route(routes[0]), Lookup(stock)]"
    )
    assert "s3cret" not in repr(given)


def test_a_lane_is_asked_by_the_settings_of_its_backend() -> None:
    """Python lookups have no table of their own, and so have the built-in settings."""
    made = catalog()
    assert (made.backend("crm").attempt_timeout, made.backend("erp").attempt_timeout) == (0.3, 0.8)
    assert made.backend(PYTHON_LANE).attempt_timeout == PYTHON_TIMEOUT


def test_load_reads_a_file(tmp_path: Path) -> None:
    """Every command begins with it."""
    path = tmp_path / "deskgate.toml"
    path.write_text(LOOKUPS)
    assert list(load(path).lookups) == ["order", "stock", "customer", "churn"]
    path.write_text(LOOKUPS + "[[routes]]\nlookups = ['x']\n[gateway]\nbudget = '0s'")
    with pytest.raises(ConfigFaults) as caught:
        load(path)
    assert [fault.path for fault in caught.value.faults] == ["gateway.budget", "routes[0].lookups[0]"]


def test_each_lane_has_the_settings_by_which_its_backend_is_asked() -> None:
    """Python lookups have no table: theirs are fixed."""
    declared = catalog("[backends.idle]\nurl = 'http://idle'")
    assert declared.backend("crm") == declared.settings.backends["crm"]
    assert declared.backend(PYTHON_LANE) == PYTHON


def test_versions_are_those_of_the_release_before() -> None:
    """Another one of an unchanged lookup would lose every last known answer in an upgrade.

    If a change of the digest cannot be helped, the changelog has to say so.
    """
    text = (ROOT / "ops" / "deskgate.toml").read_text(encoding="utf-8")
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "http://x")
    environ |= {"REDIS_URL": "redis://x", "DESKGATE_LISTEN": "127.0.0.1:1", "DESKGATE_ADMIN": "127.0.0.1:2"}
    text += '\n[lookups.churn]\npython = "a:b"\nvariables = { a = "a" }\n'
    versions = {name: one.version for name, one in compile_catalog(*read(text, environ)).lookups.items()}
    assert versions == {
        "profile": "907c1238",
        "customer": "c1896ead",
        "order": "d2392e85",
        "churn": "6dc55ce3",
    }


def test_a_lane_is_known_by_the_versions_of_its_lookups() -> None:
    """Whether two processes do the same work; a backend without a lane has gates all the same."""
    text = (
        '[backends.crm]\nurl = "http://crm"\n[backends.erp]\nurl = "http://erp"\n'
        '[lookups.a]\nbackend = "crm"\nrequest = { path = "/" }\nvariables = { a = "a" }\nfresh = "1s"\n'
    )
    catalog, later, other = (
        compile_catalog(*read(one, {}))
        for one in (text, text.replace("1s", "2s"), text.replace('"/"', '"/a"'))
    )
    assert list(catalog.backends) == ["crm", "erp"]
    assert catalog.lane_digest("crm") == later.lane_digest("crm") != other.lane_digest("crm")


def test_a_lane_is_known_by_its_own_lookups() -> None:
    """Workers of a lane agree if they know its lookups in the same versions, whatever other lanes have."""
    before, after = catalog(), catalog(changes={"lookups.stock.variables": {"stock": "count"}})
    assert before.lane_digest("crm") == after.lane_digest("crm")
    assert before.lane_digest("erp") != after.lane_digest("erp")
    assert before.lane_digest("crm") != before.lane_digest("erp")
