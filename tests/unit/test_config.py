"""The configuration file is read whole: every fault at once, each with its place."""

import os
from pathlib import Path

import pytest

from gateway.declared.catalog import Catalog, compile_catalog, compile_content, load, read
from gateway.declared.environment import (
    Environment,
    UnreadableSecret,
    child_environment,
    digest_of,
    environment,
    wish_for_colors,
)
from gateway.declared.reading import ConfigFaults, Secret
from gateway.declared.redis_server import REDIS_URL_VARIABLE
from gateway.declared.values import Address, Tokens
from tests.variants import varied

SAMPLE = Path(__file__).parents[2] / "ops" / "deskgate.toml"
SAMPLE_ENVIRON = {
    "DESKGATE_LISTEN": "127.0.0.1:8080",
    "DESKGATE_ADMIN": "127.0.0.1:8081",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "DESKGATE_PREFIX": "deskgate",
    "DESK_TOKEN": "xxxxyyyy",
    "CRM_URL": "http://127.0.0.1:8090",
}

BACKEND = '[backends.crm]\nurl = "http://crm"\n'
LOOKUP = '[lookups.order]\nbackend = "crm"\nrequest = { path = "/o" }\nvariables = { status = "status" }\n'
WHOLE = BACKEND + LOOKUP


def compiled(text: str, **environ: str) -> Catalog:
    """Return the catalog of a configuration; raise ConfigFaults."""
    return compile_catalog(*read(text, environ))


def faults(text: str, **environ: str) -> list[str]:
    """Return the faults of a configuration, each as ``check`` prints it."""
    try:
        compiled(text, **environ)
    except ConfigFaults as error:
        return str(error).splitlines()
    return []


def places(text: str, **environ: str) -> list[str]:
    """Return the places of the faults, in alphabetical order."""
    return sorted(fault.split(": ")[0] for fault in faults(text, **environ))


def test_the_sample_is_ok() -> None:
    """It is what everybody starts from."""
    assert faults(SAMPLE.read_text(), **SAMPLE_ENVIRON) == []


def test_the_sample_names_every_variable_that_it_needs() -> None:
    """Someone who starts it with an empty environment reads here what to set."""
    missing = [fault.split()[-4] for fault in faults(SAMPLE.read_text()) if fault.endswith("is not set")]
    assert sorted(missing) == sorted(SAMPLE_ENVIRON)


@pytest.mark.parametrize("text", ["abc\n", " abc", "abc\u00a0", "\ufeffabc", "abc\u200b", "abc\r"], ids=ascii)
def test_a_token_that_was_copied_with_its_surroundings_is_a_fault(text: str) -> None:
    """It would pass here, and no signature would ever match."""
    (fault,) = faults('[apps.1]\ntoken = ["t", "${TOKEN}"]', TOKEN=text)
    assert fault.startswith("apps.1.token: begins or ends with a blank")
    assert "abc" not in fault


def test_a_byte_order_mark_before_the_file_is_skipped() -> None:
    """Editors of Windows write one."""
    assert compiled("\ufeff[apps.1]\ntoken = 't'").apps[1].id == 1


def test_an_empty_file_has_the_documented_defaults() -> None:
    """A default that drifted from the documentation is a surprise in production."""
    settings = compiled("").settings
    assert settings.gateway.listen == ("127.0.0.1", 8080)
    assert settings.gateway.admin == ("127.0.0.1", 8081)
    assert (settings.gateway.budget, settings.gateway.max_body) == (1.6, 65_536)
    assert (settings.gateway.max_inflight, settings.gateway.local_records) == (1000, 50_000)
    assert (settings.redis.url, settings.redis.prefix) == ("redis://127.0.0.1:6379/0", "deskgate")
    assert settings.redis.timeout == 0.1
    settings = compiled('[apps.1]\ntoken = "t"\n' + WHOLE).settings
    app, backend, lookup = settings.apps["1"], settings.backends["crm"], settings.lookups["order"]
    assert (app.signature, app.on_degraded, app.markers.status) == ("required", "error", None)
    assert (backend.attempt_timeout, backend.attempts, backend.concurrency) == (0.8, 3, 20)
    assert (lookup.fresh, lookup.stale_while_revalidate, lookup.stale_if_error) == (60.0, 0.0, 86_400.0)
    assert (lookup.share, lookup.required, lookup.not_found, lookup.fallback) == ("session", (), None, {})


MANY = """
gatway = {}

[gateway]
listen = "8080"
budget = 1.6
max_body = "64"
max_inflight = 0
bugdet = "1s"
tls = { cert = "c.pem" }

[redis]
url = "http://127.0.0.1"
timeout = "100"

[apps.1400000001]
token = "${NO_SUCH_TOKEN}"
signature = "off"
markers = { status = 3 }

[apps.desk]
token = ["a", ""]
signature = "optional"

[[routes]]
app = 7
path = "order"
when = { staticKey = 3 }
lookups = ["custmer", "order", "total"]

[backends.crm]
url = "ftp://crm"
auth = { type = "digest" }
attempt_timeout = "0s"

[lookups.order]
backend = "crn"
request = { path = "orders/{", query = { q = "{}" }, mehtod = "GET" }
variables = { status = "status", total = "total[" }
required = ["statsu"]
fallback = { stauts = "x" }
fresh = "60"

[lookups.total]
python = "mycrm.lookups"
variables = { status = "status" }
share = "everybody"
"""


WRONG = """
gatway gateway.listen gateway.budget gateway.max_body gateway.max_inflight gateway.bugdet gateway.tls.key
redis.url redis.timeout
apps.1400000001.token apps.1400000001.markers.status apps.desk apps.desk.token
routes[0].app routes[0].path routes[0].when.staticKey routes[0].lookups[0] routes[0].lookups[2]
backends.crm.url backends.crm.auth.type backends.crm.attempt_timeout
lookups.order.backend lookups.order.request.path lookups.order.request.path lookups.order.request.query.q
lookups.order.request.mehtod lookups.order.variables.total lookups.order.required
lookups.order.fallback.stauts lookups.order.fresh
lookups.total.python lookups.total.share
"""


def test_every_fault_of_a_file_is_reported_at_once_each_with_its_place() -> None:
    """The author of the file corrects it once, not thirty times."""
    assert places(MANY) == sorted(WRONG.split())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("gatway = {}", "gatway: unknown key; did you mean 'gateway'?"),
        ("[gateway]\nbugdet = '1s'", "gateway.bugdet: unknown key; did you mean 'budget'?"),
        ("[gateway]\nxyzzy = 1", "gateway.xyzzy: unknown key"),
        (
            "[apps.1]\ntoken = 't'\nmarkers = { staus = 'x' }",
            "apps.1.markers.staus: unknown key; did you mean 'status'?",
        ),
        (WHOLE + "frehs = '1s'", "lookups.order.frehs: unknown key; did you mean 'fresh'?"),
        ("gateway = 3", "gateway: expected a table, got a number"),
        ("routes = [3]", "routes[0]: expected a table, got a number"),
        ("[routes]\nlookups = []", "routes: expected a list of tables, got a table"),
        ("[[apps]]\ntoken = 't'", "apps: expected a table, got a list"),
        ("[[apps.1]]\ntoken = 't'", "apps.1: expected a table, got a list"),
        (BACKEND + "auth = 'bearer'", "backends.crm.auth"),
        ("[gateway]\nbudget = 3", "gateway.budget: expected text in quotes, such as '1.6s', got a number"),
        (
            "[gateway]\nbudget = 1979-05-27",
            "gateway.budget: expected text in quotes, such as '1.6s', got date",
        ),
        ("[gateway]\nbudget = '800'", "gateway.budget: '800' is not a number with a unit"),
        ("[gateway]\nmax_body = '64KB'", "gateway.max_body: '64KB' is not a number with a unit"),
        ("[gateway]\nlisten = '8080'", "gateway.listen: '8080' is not host:port"),
        ("[gateway]\nlisten = 'x:65536'", "gateway.listen: 'x:65536' is not host:port"),
        (
            "[gateway]\nmax_inflight = true",
            "gateway.max_inflight: expected a whole number without quotes, got a boolean",
        ),
        (
            "[gateway]\nmax_inflight = 1e3",
            "gateway.max_inflight: expected a whole number without quotes, got a number with",
        ),
        (
            "[[routes]]\nlookups = []\nwhen = { a = 1 }",
            "routes[0].when.a: expected text in quotes, got a number",
        ),
        (
            "[[routes]]\nlookups = []\napp = '1'",
            "routes[0].app: expected a whole number without quotes, got text",
        ),
        ("[[routes]]\n", "routes[0].lookups: missing"),
        (LOOKUP + "[backends.crm]\nattempts = 2", "backends.crm.url: missing"),
        ("[redis]\nurl = '${NOPE}'", "redis.url: the environment variable NOPE is not set"),
        (
            BACKEND + "auth = { type = 'digest' }",
            "backends.crm.auth.type: must be one of none, bearer,",
        ),
        (BACKEND + "auth = { type = 'bearer' }", "backends.crm.auth.token: missing"),
        (BACKEND + "auth = {}", "backends.crm.auth.type: must be one of none, bearer,"),
        (
            varied(WHOLE, {"lookups.order.request.method": "DELETE"}),
            "lookups.order.request.method: 'DELETE' is not one of GET, POST, PUT, PATCH",
        ),
    ],
)
def test_a_fault_says_what_and_where(text: str, fault: str) -> None:
    """One mistake, one line that names it."""
    (only,) = faults(text)
    assert only.startswith(fault)


@pytest.mark.parametrize(
    "text", ["x", "[gateway", "a = ", "a = 1\na = 2", "\0", "a = 2024-99-99", "[a]\n[a]"]
)
def test_what_is_no_toml_is_one_fault_with_its_line(text: str) -> None:
    """The place in the file is all that can be said of it."""
    (only,) = faults(text)
    assert only.startswith("not TOML: ")
    assert "(at " in only


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "1" * 5000], ids=["nesting", "digits"])
def test_toml_that_overwhelms_the_parser_is_a_fault(text: str) -> None:
    """``check`` ends with a fault, never with a trace."""
    assert len(faults(text)) == 1


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """Absent, a directory, or not UTF-8."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"a = '\xff'")
    for path in (tmp_path / "absent.toml", tmp_path, binary):
        with pytest.raises(ConfigFaults, match="cannot be read"):
            load(path)


def test_the_environment_of_the_process_is_read_with_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is where deployments keep addresses and secrets."""
    monkeypatch.setenv("DESKGATE_TEST_PREFIX", "here")
    path = tmp_path / "deskgate.toml"
    path.write_text('[redis]\nprefix = "${DESKGATE_TEST_PREFIX}-${DESKGATE_TEST_PREFIX}"\n')
    catalog = load(path)
    assert catalog.settings.redis.prefix == "here-here"
    assert catalog.digest == digest_of(path.read_bytes())
    assert "DESKGATE_TEST_NOTHING" not in os.environ
    assert environment("DESKGATE_TEST_PREFIX") == "here"
    assert environment("DESKGATE_TEST_NOTHING") is None
    monkeypatch.setenv("DESKGATE_TEST_NOTHING", "")
    assert environment("DESKGATE_TEST_NOTHING") is None


def test_a_child_process_has_our_environment_and_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The children of ``deskgate up`` read the same configuration, and are told where the server is."""
    monkeypatch.setenv("DESKGATE_TEST_A", "ours")
    monkeypatch.setenv("DESKGATE_TEST_B", "ours")
    child = child_environment({"DESKGATE_TEST_B": "the child's", "DESKGATE_TEST_C": "the child's"})
    assert [child[f"DESKGATE_TEST_{name}"] for name in "ABC"] == ["ours", "the child's", "the child's"]
    assert environment("DESKGATE_TEST_B") == "ours"


def test_an_embedded_server_is_needed_only_by_a_process_that_asks_it(tmp_path: Path) -> None:
    """Alone, a gateway would find no Redis; ``deskgate check`` and ``up`` are right about the same file."""
    path = tmp_path / "deskgate.toml"
    path.write_text('[redis]\nurl = "embedded"\n')
    with pytest.raises(ConfigFaults, match=r"redis\.url"):
        load(path)
    assert compile_content(path.read_bytes(), embedded=True).settings.redis.url == "embedded"


def test_a_child_of_up_is_told_the_address_of_the_embedded_server() -> None:
    """The address of a server of one's own stays as it is written."""
    told = {REDIS_URL_VARIABLE: "unix:///run/valkey.sock"}
    assert compiled("[redis]\nurl = 'embedded'", **told).settings.redis.url == "unix:///run/valkey.sock"
    assert compiled("[redis]\nurl = 'redis://mine'", **told).settings.redis.url == "redis://mine"


def test_an_element_of_a_list_that_does_not_fit_has_its_place() -> None:
    """In a list of twenty names the number says which one it is."""
    assert places(WHOLE + "inputs = ['a', 3]") == ["lookups.order.inputs[1]"]


def test_a_value_of_the_environment_that_does_not_fit_is_not_shown() -> None:
    """The fault goes into a build's log, and the value may be a secret in the wrong place."""
    (only,) = faults("[apps.1]\nsignature = '${MODE}'", MODE="s3cret")
    assert only == "apps.1.signature: the value taken from the environment does not fit here"


@pytest.mark.parametrize("text", ["$HOME", "{HOME}", "${}", "${1A}", "${A B}", "$${", "${A"])
def test_what_is_no_reference_to_the_environment_stays_as_it_is(text: str) -> None:
    """A token may hold a dollar sign."""
    assert compiled(f"[redis]\nprefix = '{text}'", HOME="leak", A="leak").settings.redis.prefix == text


def test_a_reference_inside_a_value_is_not_expanded_again() -> None:
    """A token that happens to look like one must not reach for another variable."""
    assert compiled("[redis]\nprefix = '${A}'", A="${B}", B="leak").settings.redis.prefix == "${B}"


def test_every_missing_variable_is_named() -> None:
    """Two in one text are two faults."""
    assert [fault.split()[-4] for fault in faults("[redis]\nurl = '${ONE}${TWO}'")] == ["ONE", "TWO"]


def test_tokens_are_one_text_or_a_list() -> None:
    """Newest first, while rotating."""
    assert Tokens.parse("a") == ("a",)
    assert Tokens.parse(["a", "b"]) == ("a", "b")
    nothing: tuple[object, ...] = ([], "", ["a", ""], ["a", 3], 3, None, {})
    for value in nothing:
        with pytest.raises(ValueError, match="token"):
            Tokens.parse(value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("[fe80::1%eth0]:8080", ("fe80::1%eth0", 8080)),
        (":80", ("", 80)),
        ("[::1]:0", ("::1", 0)),
        ("h:1", ("h", 1)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    """Without a host: every interface. Port 0: the kernel chooses."""
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text", ["8080", "", "http://h:1", "h:1/", "h h:1", "[::1:80", "::1:80", "h:99999", "h:-1", "h:", "a@h:1"]
)
def test_what_is_no_address_is_a_fault(text: str) -> None:
    """``http://h:1`` was taken for a host, and failed when the gateway began to listen."""
    with pytest.raises(ValueError, match="is not host:port"):
        Address.parse(text)


def test_a_secret_is_text_that_does_not_print_itself() -> None:
    """In a list, in a dataclass, in a format with ``!r``; plain ``str`` still has it, to be sent."""
    secret = Secret("s3cret")
    assert (secret, str(secret), f"{secret!r}", repr([secret])) == ("s3cret", "s3cret", "'***'", "['***']")


def test_a_secret_knows_how_it_is_written_in_the_file() -> None:
    """A text of the environment may change while its meaning does not: a password is renewed."""
    assert (Secret("s3cret", "${KEY}").written, Secret("s3cret").written) == ("${KEY}", "s3cret")
    assert Secret.parse(Secret("s3cret", "${KEY}")).written == "${KEY}"


def test_embedded_server_is_the_one_that_the_environment_names() -> None:
    """``deskgate up`` starts it, and tells gateway and worker where; a server of one's own stays."""
    environ = {REDIS_URL_VARIABLE: "unix:///run/embedded.sock"}
    redis = compiled("[redis]\nurl = 'embedded'\nprefix = 'p'", **environ).settings.redis
    assert (redis.url, redis.prefix) == ("unix:///run/embedded.sock", "p")
    assert compiled("[redis]\nurl = 'redis://own'", **environ).settings.redis.url == "redis://own"


def test_a_text_of_the_environment_that_is_not_utf_8_is_a_fault() -> None:
    """It could be neither sent nor shown."""
    text = '[backends.crm]\nurl = "http://crm"\n[lookups.o]\nbackend = "crm"\nvariables = { a = "a" }\n'
    with pytest.raises(ConfigFaults) as caught:
        compile_catalog(*read(text + 'request = { path = "/${PLACE}" }', {"PLACE": "\udcff"}))
    assert "the environment variable PLACE is not UTF-8" in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "wish"),
    [
        ({}, None),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"NO_COLOR": ""}, None),
    ],
)
def test_environment_says_whether_there_shall_be_colors(
    environ: dict[str, str], wish: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As no-color.org and force-color.org have it."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert wish_for_colors() is wish


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[gateway]\nmax_connections = 0", "gateway.max_connections"),
        ("[apps.1]\nsignature = 'off'\nprefetch_on = ['']", "apps.1.prefetch_on[0]"),
        ("[apps.1]\nsignature = 'off'\nforget_on = ['']", "apps.1.forget_on[0]"),
        ("[apps.1]\nsignature = 'off'\nprefetch_on = ['Session.Created']", "apps.1.prefetch_on"),
    ],
)
def test_setting_that_can_do_nothing_is_a_fault(text: str, place: str) -> None:
    """Its author expects something of it."""
    with pytest.raises(ConfigFaults) as caught:
        compiled(text)
    assert place in [fault.path for fault in caught.value.faults]


def test_secret_is_read_from_a_file_without_the_newline_at_its_end(tmp_path: Path) -> None:
    """As Docker and Kubernetes hand secrets over."""
    for content, text in (
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b"a\n\n", "a\n"),
        ("ü".encode(), "ü"),
    ):
        path = tmp_path / "secret"
        path.write_bytes(content)
        environ = Environment()
        document = 'redis.prefix = "x-${file:' + str(path) + '}"\n'
        config, faults = read(document, environ)
        assert (str(config.redis.prefix), faults) == (f"x-{text}", [])
        assert [*environ.files] == [str(path)]
        assert "s3cret" not in repr(config)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff", "is not UTF-8"),
        (b"s" * 65_537, "is over 65536 bytes"),
    ],
)
def test_file_of_a_secret_that_cannot_be_used_is_a_fault(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    """It names the place and the file, and shows nothing of its content."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    _, faults = read('redis.prefix = "${file:' + str(path) + '}"', Environment())
    assert [(fault.path, reason in fault.message, str(path) in fault.message) for fault in faults] == [
        ("redis.prefix", True, True)
    ]
    assert "sss" not in str(faults)


def test_environment_is_a_mapping_of_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that no file can have is one that cannot be read."""
    monkeypatch.setenv("DESKGATE_X", "1")
    environ = Environment()
    assert environ["DESKGATE_X"] == "1"
    assert len(environ) == len([*environ])
    with pytest.raises(UnreadableSecret, match="x00"):
        environ["file:a\0b"]


def test_pipe_is_no_file_of_a_secret(tmp_path: Path) -> None:
    """It would be waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    _, faults = read('redis.prefix = "${file:' + str(pipe) + '}"', Environment())
    assert [fault.message for fault in faults] == [f"the file {pipe} is no regular file"]
