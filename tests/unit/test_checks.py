"""The contradictions of a configuration: each is found before a callback finds it."""

import re

import pytest

from gateway.declared.catalog import compile_catalog, read
from gateway.declared.reading import ConfigFaults, Fault
from gateway.front.dialects.desk import DESK
from tests.desk import ROOT
from tests.variants import varied

BACKEND = '[backends.crm]\nurl = "http://crm"\n'
LOOKUP = '[lookups.order]\nbackend = "crm"\nrequest = { path = "/o" }\nvariables = { status = "status" }\n'
PYTHON = '[lookups.churn]\npython = "mycrm.lookups:churn"\nvariables = { risk = "risk" }\n'
WHOLE = BACKEND + LOOKUP
HTTPS = '[backends.crm]\nurl = "https://crm"\n'
SQL = (
    "[backends.db]\nurl = 'sqlite:///x'\n"
    "[lookups.tier]\nbackend = 'db'\nsql = 'select tier'\nvariables = { tier = 'tier' }\n"
)
AUTH = BACKEND + "[backends.crm.auth]\n"
OAUTH2 = AUTH + "type = 'oauth2'\n"
TOKEN_URL = "token_url = 'http://x'\n"
CLIENT = "client_id = 'a'\nclient_secret = 'b'\n"
LOGIN = AUTH + "type = 'login'\ntoken = 'token'\n"
SIGN = AUTH + "type = 'sign'\nplace = { query = 'sign' }\n"
APP = "[apps.1]\ntoken = 't'\n"


def found(text: str) -> list[Fault]:
    """Return the faults of a configuration."""
    try:
        compile_catalog(*read(text, {}), event_variables=DESK.event_variables)
    except ConfigFaults as error:
        return error.faults
    return []


def changed(place: str, value: object) -> str:
    """Return the whole configuration with one setting changed."""
    return varied(WHOLE, {place: value})


def other(name: str) -> str:
    """Return another lookup, which sets the variable that the first one sets."""
    return f'[lookups.{name}]\nbackend = "crm"\nrequest = {{ path = "/o" }}\nvariables = {{ status = "s" }}\n'


def route(names: str, more: str = "") -> str:
    """Return a route to lookups."""
    return f"[[routes]]\nlookups = {names}\n{more}\n"


def rule(text: str) -> str:
    """Return the configuration with one answer rule of the lookup."""
    return f"{WHOLE}[[lookups.order.answers]]\n{text}\n"


def accepting(text: str) -> str:
    """Return the configuration with one input that is accepted so."""
    return changed("lookups.order.request.path", "/{id}") + f"[lookups.order.accept]\n{text}\n"


CONTRADICTIONS = [
    (accepting("no = { trim = true }"), "lookups.order.accept.no", "is not an input of the lookup"),
    (accepting("id = { match = '' }"), "lookups.order.accept.id.match", "empty text alone"),
    (accepting("id = { match = '(a' }"), "lookups.order.accept.id.match", "of RE2: missing )"),
    (
        accepting("id = { match = '(?=a)' }"),
        "lookups.order.accept.id.match",
        "not a regular expression of RE2",
    ),
    (accepting("id = { trims = true }"), "lookups.order.accept.id.trims", "did you mean 'trim'?"),
    (accepting("id = 'x'"), "lookups.order.accept.id", "expected a table, got text"),
    (rule("is = 'fine'\nstatus = 200"), "lookups.order.answers[0].is", "'fine' is not one of ok, not_found,"),
    (rule("status = 200"), "lookups.order.answers[0].is", "missing"),
    (rule("is = 'bad'"), "lookups.order.answers[0]", "would take every response"),
    (rule("is = 'bad'\nwhen = {}"), "lookups.order.answers[0]", "would take every response"),
    (rule("is = 'bad'\nwhen = ''"), "lookups.order.answers[0]", "would take every response"),
    (rule("is = 'bad'\nstatus = 200\nwhen = ''\nx = 1"), "lookups.order.answers[0].x", "unknown key"),
    (changed("lookups.order.answers", [1]), "lookups.order.answers[0]", "expected a table, got a number"),
    (rule("is = 'bad'\nstatus = []"), "lookups.order.answers[0].status", "empty list matches nothing"),
    (rule("is = 'bad'\nstatus = 999"), "lookups.order.answers[0].status", "999 is no status"),
    (rule("is = 'bad'\nstatus = 101"), "lookups.order.answers[0].status", "101 is no status"),
    (rule("is = 'bad'\nstatus = ['4xx', '4x']"), "lookups.order.answers[0].status", "'4x' is no status"),
    (rule("is = 'bad'\nstatus = true"), "lookups.order.answers[0].status", "got a boolean"),
    (rule("is = 'bad'\nwhen = { code = [] }"), "lookups.order.answers[0].when.code", "empty list"),
    (rule("is = 'bad'\nwhen = { code = {} }"), "lookups.order.answers[0].when.code", "must be a text"),
    (rule("is = 'bad'\nwhen = { 'a[' = 1 }"), "lookups.order.answers[0].when.a[", "not a JMESPath"),
    (rule("is = 'bad'\nwhen = 'siz(a)'"), "lookups.order.answers[0].when", "siz() is not a function"),
    (rule("is = 'bad'\nstatus = 200\nwhere = 'a'"), "lookups.order.answers[0].where", "did you mean 'when'?"),
    (
        BACKEND + "[[backends.crm.answers]]\nis = 'bad'\nstatus = '6xx'\n" + LOOKUP,
        "backends.crm.answers[0].status",
        "'6xx' is no status",
    ),
    (
        PYTHON + "[[lookups.churn.answers]]\nis = 'bad'\nstatus = 200",
        "lookups.churn.answers[0].status",
        "a Python lookup has no status",
    ),
    (changed("lookups.order.empty", "not_found"), "lookups.order.empty", "needs `not_found`"),
    (
        WHOLE + "fresh = '50s'\nnot_found_fresh = '51s'",
        "lookups.order.not_found_fresh",
        "must not be longer than fresh",
    ),
    ("[gateway]\nlisten = ':80'\nadmin = ':80'", "gateway.admin", "must differ from gateway.listen"),
    ("[gateway]\nbudget = '0s'", "gateway.budget", "more than zero"),
    ("[gateway]\nmax_body = '0B'", "gateway.max_body", "more than zero"),
    ("[gateway]\nlocal_records = -1", "gateway.local_records", "more than zero"),
    ("[redis]\nurl = 'http://x'", "redis.url", "redis+sentinel://"),
    ("[redis]\nurl = ''", "redis.url", "redis://"),
    ("[redis]\nprefix = ''", "redis.prefix", "empty"),
    ("[redis]\ntimeout = '0ms'", "redis.timeout", "more than zero"),
    ("[apps.desk]\ntoken = 't'", "apps.desk", "a SdkAppid is a number"),
    ("[apps.0]\ntoken = 't'", "apps.0", "a SdkAppid is a number"),
    ("[apps.014]\ntoken = 't'", "apps.014", "a SdkAppid is a number"),
    ('[apps."1\\n"]\ntoken = "t"', "apps.1\n", "a SdkAppid is a number"),
    ("[apps.1]", "apps.1.token", "missing; without a token set signature = 'off'"),
    (APP + "prefetch = ['ordr']\n" + WHOLE, "apps.1.prefetch[0]", "did you mean 'order'?"),
    (
        APP + "prefetch = ['order']\n" + changed("lookups.order.request.path", "/{id}"),
        "apps.1.prefetch[0]",
        "reads 'id'",
    ),
    (APP + "forget_on = ['']", "apps.1.forget_on[0]", "must not be empty"),
    ("[gateway]\nlocal_bytes = '0B'", "gateway.local_bytes", "more than zero"),
    (APP + "redis_lost = 'never'", "apps.1.redis_lost", "never"),
    (BACKEND + "attempts = 0", "backends.crm.attempts", "more than zero"),
    (BACKEND + "concurrency = 0", "backends.crm.concurrency", "more than zero"),
    (BACKEND + "attempt_timeout = '0s'", "backends.crm.attempt_timeout", "more than zero"),
    (BACKEND + "max_reply = '0B'", "backends.crm.max_reply", "more than zero"),
    (WHOLE + "hedge = '0s'", "lookups.order.hedge", "more than zero"),
    (AUTH + "type = 'key'\nvalue = 'k'\nplace = {}", "backends.crm.auth.place", "needs one of `header`"),
    (
        AUTH + "type = 'key'\nvalue = ''\nplace = { query = 'k' }",
        "backends.crm.auth.value",
        "must not be empty",
    ),
    (
        AUTH + "type = 'key'\nvalue = 'k'\nplace = { query = '' }",
        "backends.crm.auth.place.query",
        "not be empty",
    ),
    (
        AUTH + "type = 'key'\nvalue = 'k'\nplace = { header = 'a b' }",
        "backends.crm.auth.place.header",
        "letters",
    ),
    (
        AUTH + "type = 'key'\nvalue = 'k'\nplace = { query = 'k', text = 'x' }",
        "backends.crm.auth.place.text",
        "must hold {token}",
    ),
    (OAUTH2 + "token_url = 'ftp://x'\n" + CLIENT, "backends.crm.auth.token_url", "http:// or https://"),
    (
        OAUTH2 + "token_url = 'http://x'\nclient_id = 'a'",
        "backends.crm.auth.client_secret",
        "missing: grant_type",
    ),
    (OAUTH2 + TOKEN_URL + CLIENT + "key = 'k'", "backends.crm.auth.key", "is for grant_type"),
    (
        OAUTH2 + TOKEN_URL + "client_id = ' a'\nclient_secret = 'b'",
        "backends.crm.auth.client_id",
        "take it off",
    ),
    (OAUTH2 + TOKEN_URL + CLIENT + "token = 'a['", "backends.crm.auth.token", "is not a JMESPath expression"),
    (OAUTH2 + TOKEN_URL + CLIENT + "token = ''", "backends.crm.auth.token", "must not be empty"),
    (OAUTH2 + TOKEN_URL + CLIENT + "lifetime = '0s'", "backends.crm.auth.lifetime", "more than zero"),
    (LOGIN + "request = { path = 'x' }", "backends.crm.auth.request.path", "must begin with '/'"),
    (LOGIN + "url = 'x'\nrequest = { path = '/x' }", "backends.crm.auth.url", "http:// or https://"),
    (SIGN + "secret = ''\nover = '{body}'", "backends.crm.auth.secret", "must not be empty"),
    (SIGN + "secret = ' s'\nover = '{body}'", "backends.crm.auth.secret", "take it off"),
    (SIGN + "secret = 's'\nover = '{boddy}'", "backends.crm.auth.over", "'{boddy}' is not one of method"),
    (SIGN + "secret = 's'\nover = 'x'", "backends.crm.auth.over", "must hold a part of the request"),
    (
        SIGN + "secret = 's'\nover = '{body}'\ntimestamp = 'm'",
        "backends.crm.auth.timestamp",
        "must be 's', 'ms'",
    ),
    (
        SIGN + "secret = 's'\nover = '{body}'\nparams = { a = '{x}' }",
        "backends.crm.auth.params.a",
        "is not one of",
    ),
    (
        SIGN + "secret = 's'\nover = '{body}'\nheaders = { 'a b' = '1' }",
        "backends.crm.auth.headers.a b",
        "letters",
    ),
    (
        AUTH + "type = 'sign'\nsecret = 's'\nover = '{body}'\nplace = { header = 'x' }\nparams = { a = '1' }",
        "backends.crm.auth.params",
        "with a header use `headers`",
    ),
    (BACKEND + "tls = {}", "backends.crm.tls", "is for an https:// address alone"),
    (HTTPS + "tls = { cert = 'c' }", "backends.crm.tls", "`cert` and `key` belong together"),
    (HTTPS + "tls = { ca = '' }", "backends.crm.tls.ca", "must not be empty"),
    (BACKEND + "proxy = 'socks5://p:1'", "backends.crm.proxy", "must be http://host:port"),
    (BACKEND + "proxy = 'http://p:70000'", "backends.crm.proxy", "must be http://host:port"),
    (HTTPS + "tls = { server_name = '.x' }", "backends.crm.tls.server_name", "must be the name of a host"),
    (BACKEND + "proxy = 'http://a%3Ab:c@p:1'", "backends.crm.proxy", "must hold no colon"),
    (BACKEND + "proxy = 'http://a:%FF@p:1'", "backends.crm.proxy", "must be http://host:port"),
    (BACKEND + "proxy = 'http://p:1/x'", "backends.crm.proxy", "must be http://host:port"),
    (BACKEND + "burst = 0", "backends.crm.burst", "more than zero"),
    (BACKEND + "burst = 2", "backends.crm.burst", "is for a `rate` alone"),
    (BACKEND + "rate = '0/s'", "backends.crm.rate", "is not a rate; write for example '50/s'"),
    (BACKEND + "rate = '50'", "backends.crm.rate", "is not a rate"),
    (BACKEND + "retry_budget = '101%'", "backends.crm.retry_budget", "is not a share; write for example"),
    (BACKEND + "retry_after_max = '0s'", "backends.crm.retry_after_max", "more than zero"),
    (BACKEND + "retry_after_max = '2h'", "backends.crm.retry_after_max", "at most 3600 s"),
    (BACKEND + "breaker = 'on'", "backends.crm.breaker", "'on' is not one of off"),
    (BACKEND + "breaker.minimum_throughput = 0", "backends.crm.breaker.minimum_throughput", "more than zero"),
    (BACKEND + "breaker.failure_ratio = 1.1", "backends.crm.breaker.failure_ratio", "at most 1"),
    (BACKEND + "breaker.slow_call = '0s'", "backends.crm.breaker.slow_call", "more than zero"),
    (
        BACKEND + "breaker.sampling = '1s'",
        "backends.crm.breaker.sampling",
        "did you mean 'sampling_dur",
    ),
    ("[backends.crm]\nurl = 'crm:80'", "backends.crm.url", "http:// or https://"),
    ("[backends.crm]\nurl = 'ftp://crm'", "backends.crm.url", "http:// or https://"),
    ("[backends.crm]\nurl = 'http:///api'", "backends.crm.url", "http:// or https://"),
    ("[backends.crm]\nurl = 'http://crm?a=b'", "backends.crm.url", "no query"),
    ("[backends.crm]\nurl = 'http://crm#a'", "backends.crm.url", "no query"),
    ("[backends.python]\nurl = 'http://crm'", "backends.python", "taken"),
    (LOOKUP, "lookups.order.backend", "'crm' is not a backend"),
    (changed("backends", {"crn": {"url": "http://crm"}}), "lookups.order.backend", "did you mean 'crn'?"),
    (changed("lookups.order.backend", None), "lookups.order.backend", "missing; known: crm"),
    (changed("lookups.order.request", None), "lookups.order", "`request`"),
    (PYTHON + "backend = 'crm'\n" + BACKEND, "lookups.churn.backend", "takes a backend with kind = 'python'"),
    (SQL.replace("'db'", "'crm'") + BACKEND, "lookups.tier.backend", "takes a backend with a postgresql://"),
    (SQL.replace("select", "delete"), "lookups.tier.sql", "must begin with SELECT"),
    (SQL + "[backends.db2]\nurl = 'sqlite://x'", "backends.db2.url", "write sqlite:///path"),
    (SQL + "[backends.db2]\nurl = 'mysql://x:1'", "backends.db2.url", "must be mysql://user:password@host"),
    (
        SQL + "[backends.db2]\nurl = 'mysql://x:99999/y'",
        "backends.db2.url",
        "must be mysql://user:password@host",
    ),
    (
        SQL + "[backends.db2]\nurl = 'mysql://x/y'\ncharset = 'GBK'",
        "backends.db2.charset",
        "is not for a database",
    ),
    (BACKEND + "options = { a = 1 }", "backends.crm.options", "is for kind = 'python' alone"),
    ("[backends.own]\nkind = 'python'\nurl = 'http://x'", "backends.own.url", "is not for kind = 'python'"),
    ("[backends.own]\nkind = 'python'\ncharset = 'GBK'", "backends.own.charset", "is for HTTP alone"),
    (
        "[backends.own]\nkind = 'python'\n[[backends.own.answers]]\nstatus = 404\nis = 'not_found'",
        "backends.own.answers[0].status",
        "",
    ),
    ("[backends.own]\nkind = 'python'\nopen = 'x'", "backends.own.open", "must name a function"),
    ("[backends.crm]\nattempts = 1", "backends.crm.url", "missing"),
    (WHOLE + "options = { a = 1 }", "lookups.order.options", "is for a Python lookup alone"),
    (WHOLE + "rows = 'all'", "lookups.order.rows", "is for `sql` alone"),
    (
        varied(PYTHON, {"lookups.churn.python": "mycrm.lookups.churn"}),
        "lookups.churn.python",
        "mycrm.lookups:churn",
    ),
    (
        varied(PYTHON, {"lookups.churn.python": "os:system; x"}),
        "lookups.churn.python",
        "must name a function",
    ),
    (WHOLE + "required = ['statsu']", "lookups.order.required", "did you mean 'status'?"),
    (WHOLE + "not_found = { gone = 'x' }", "lookups.order.not_found.gone", "'gone' is not in `variables`"),
    (WHOLE + "fallback = { gone = 'x' }", "lookups.order.fallback.gone", "'gone' is not in `variables`"),
    (WHOLE + "inputs = ['']", "lookups.order.inputs", "must not be empty"),
    (changed("lookups.order.variables", {}), "lookups.order.variables", "at least one"),
    (WHOLE + "fresh = '2h'\nstale_if_error = '1h'", "lookups.order.stale_if_error", "shorter than fresh"),
    (WHOLE + "stale_while_revalidate = '25h'", "lookups.order.stale_if_error", "shorter than fresh"),
    (WHOLE + "share = 'user'\nstale_if_error = '0s'", "lookups.order.share", "there are none"),
    (
        changed("lookups.order.variables.status", "status["),
        "lookups.order.variables.status",
        "is not a JMESPath expression",
    ),
    (
        changed("lookups.order.variables.status", ""),
        "lookups.order.variables.status",
        "is not a JMESPath expression",
    ),
    (changed("lookups.order.request.path", "/{"), "lookups.order.request.path", "is not a template"),
    (WHOLE + route("['oder']"), "routes[0].lookups[0]", "did you mean 'order'?"),
    (WHOLE + route("['order', 'order']"), "routes[0].lookups[1]", "stands here twice"),
    (
        WHOLE + other("other") + route("['order', 'other']"),
        "routes[0].lookups[1]",
        "both set the variable 'status'",
    ),
    (
        WHOLE + route("[]") + "when = { a = 'b' }\n" + route("['x']"),
        "routes[1].lookups[0]",
        "'x' is not a lookup",
    ),
    (WHOLE + route("[]", "path = 'order'"), "routes[0].path", "must begin with '/'"),
    (WHOLE + route("[]", "app = 7"), "routes[0].app", "7 is not an app"),
    (
        WHOLE + route("['order']") + "[apps.1]\ntoken = 't'\nmarkers = { age = 'status' }",
        "apps.1.markers",
        "also set by 'order' in routes[0]",
    ),
]


ADMIN = "gateway.admin_token"
CONTRADICTIONS += [
    (f"[{ADMIN}]\nact = 'short'", f"{ADMIN}.act", "has 16 characters at least"),
    (f"[{ADMIN}]\nread = '{'x' * 20} '", f"{ADMIN}.read", "begins or ends with a blank"),
    (f"[{ADMIN}]\nread = '{'x' * 20}'\nact = '{'x' * 20}'", f"{ADMIN}.read", "a token of its own"),
    (f"[{ADMIN}]", ADMIN, "has no token"),
]


@pytest.mark.parametrize(("text", "place", "message"), CONTRADICTIONS)
def test_a_contradiction_is_a_fault_with_its_place(text: str, place: str, message: str) -> None:
    """``check`` finds it in a second; in production it would be a user."""
    (only,) = found(text)
    assert only.path == place
    assert message in only.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        WHOLE + PYTHON + route("['order', 'churn']", "path = '/'"),
        WHOLE + other("other") + route("['order']") + route("['other']"),
        "[gateway]\nlisten = '127.0.0.1:0'\nadmin = '127.0.0.1:0'",
        "[apps.1]\nsignature = 'off'",
        f"[{ADMIN}]\nread = '{'x' * 20}'\nact = ['{'y' * 20}', '{'z' * 20}']",
        WHOLE + route("['order']") + APP + "markers = { status = 'from', age = 'age' }",
        "[redis]\nurl = 'embedded'",
        APP + "prefetch = ['order']\n" + WHOLE.replace("/o", f"/{{{DESK.event_variables[1]}}}"),
        WHOLE.replace('"status" }', '"length(parcels[0:2])" }'),
        "[redis]\nurl = 'unix:///run/valkey.sock'",
        "[redis]\nurl = 'redis+sentinel://a:1,b:2/service/0'",
        WHOLE + "fresh = '0s'\nstale_if_error = '0s'",
        WHOLE + "not_found = {}\nfallback = {}\nrequired = []",
        WHOLE
        + route("['order']", "app = 1")
        + "[apps.2]\ntoken = 't'\nmarkers = { age = 'status' }\n[apps.1]\ntoken = 't'",
        "[backends.crm]\nurl = 'https://[::1]:8443/api/v1/'\n" + LOOKUP,
    ],
)
def test_what_does_not_contradict_itself_is_ok(text: str) -> None:
    """A check that cries wolf is switched off."""
    assert found(text) == []


def test_two_lookups_that_set_one_variable_may_serve_different_routes() -> None:
    """Only one of them answers any one callback; within a route every clash is named."""
    text = WHOLE + other("other") + other("third") + route("['order', 'other', 'third']")
    assert [fault.path for fault in found(text)] == ["routes[0].lookups[1]", "routes[0].lookups[2]"]


@pytest.mark.parametrize(
    "expression", ["lenght(@)", "items[0].lenght(@)", "to_string(lenght(@))", "max_by(@, &lenght(@))"]
)
def test_an_expression_with_an_unknown_function_is_a_fault(expression: str) -> None:
    """It compiles, and then every reply of the backend counts as bad."""
    (only,) = found(changed("lookups.order.variables.status", expression))
    assert only.path == "lookups.order.variables.status"
    assert "did you mean 'length'?" in only.message


def test_every_unknown_function_of_an_expression_is_named() -> None:
    """A reader who mends the first fault must not find the second one a run later."""
    faults = found(changed("lookups.order.variables.status", "lenght(frist(@))"))
    assert {fault.path for fault in faults} == {"lookups.order.variables.status"}
    assert [fault.message for fault in faults] == [
        "lenght() is not a function of JMESPath; did you mean 'length'?",
        "frist() is not a function of JMESPath",
    ]


SPURIOUS = {
    "a variable that is not set": "[apps.1]\ntoken = '${NOPE}'",
    "a token of another type": "[apps.1]\ntoken = 3",
    "a request without a path": BACKEND
    + '[lookups.o]\nbackend = "crm"\nrequest = {}\nvariables = { s = "s" }',
    "an expression that is no text": varied(
        WHOLE, {"lookups.order.variables.status": 3, "lookups.order.required": ["status"]}
    ),
    "an admin address that is none": "[gateway]\nlisten = '127.0.0.1:8081'\nadmin = 'x'",
    "a duration that is none": WHOLE + "fresh = '48h'\nstale_if_error = 'x'",
    "both of two ways to ask": PYTHON + 'request = { path = "/o" }',
    # And what cannot be read may stand in another place than what then seems to be wrong:
    "a listening address that is none": "[gateway]\nlisten = 'x'\nadmin = '127.0.0.1:8080'",
    "a signature that is none": "[apps.1]\nsignature = 'of'",
    "a freshness that is none": WHOLE + "fresh = 'x'\nstale_if_error = '30s'",
    "a request that is no table": BACKEND
    + '[lookups.o]\nbackend = "crm"\nrequest = 3\nvariables = { s = "s" }',
    "a function that is no text": varied(PYTHON, {"lookups.churn.python": 3}),
}


@pytest.mark.parametrize("kind", SPURIOUS)
def test_one_mistake_is_one_fault(kind: str) -> None:
    """*Missing* said of a token that stands there sends its author looking in the wrong place."""
    assert len(found(SPURIOUS[kind])) == 1


HIDDEN = {
    "a lookup without variables": (
        '[lookups.o]\nbackend = "crn"\nrequest = { path = "/{" }\n',
        ["lookups.o.backend", "lookups.o.request.path", "lookups.o.variables"],
    ),
    "a backend without a url": (
        "[backends.crm]\nattempts = 0",
        ["backends.crm.attempts", "backends.crm.url"],
    ),
    "a route without lookups": ("[[routes]]\napp = 7", ["routes[0].app", "routes[0].lookups"]),
    "basic credentials without either": (
        BACKEND + "auth = { type = 'basic' }",
        ["backends.crm.auth.password", "backends.crm.auth.username"],
    ),
}


@pytest.mark.parametrize("kind", HIDDEN)
def test_a_missing_key_hides_no_other_fault_of_its_table(kind: str) -> None:
    """Every fault at once means these too."""
    text, places = HIDDEN[kind]
    assert sorted(fault.path for fault in found(text)) == places


def test_an_unknown_key_of_credentials_is_a_fault() -> None:
    """Unknown keys are faults, in this table too."""
    places = [fault.path for fault in found(BACKEND + "auth = { type = 'bearer', token = 'x', tokn = 'y' }")]
    assert places == ["backends.crm.auth.tokn"]


@pytest.mark.parametrize("text", ["[backends.crm]\nurl = 'http://[::1'", "[redis]\nurl = 'redis://[::1'"])
def test_an_address_that_cannot_be_split_is_a_fault(text: str) -> None:
    """``check`` ends with a fault, never with a trace."""
    assert [fault.path.partition(".")[2].rpartition(".")[2] for fault in found(text)] == ["url"]


@pytest.mark.parametrize(
    "url", ["http://crm:99999", "http://crm:port", "http://crm/a b", "http://crm/\\n", "http://c rm"]
)
def test_a_backends_address_that_cannot_be_called_is_a_fault(url: str) -> None:
    """Each of these passes, and then every call fails."""
    assert [fault.path for fault in found(f'[backends.crm]\nurl = "{url}"')] == ["backends.crm.url"]


def test_credentials_in_the_address_and_in_auth_are_a_fault() -> None:
    """There is one Authorization header, and no telling which of the two it should be."""
    text = "[backends.crm]\nurl = 'http://user:pass@crm'\nauth = { type = 'bearer', token = 't' }"
    assert [fault.path for fault in found(text)] == ["backends.crm.url"]


@pytest.mark.parametrize(
    "auth",
    [
        "{ type = 'bearer', token = \"abc\\n\" }",
        "{ type = 'bearer', token = '' }",
        "{ type = 'header', name = 'X Key', value = 'k' }",
        "{ type = 'header', name = 'X-Key', value = \"k\\r\\nX: y\" }",
        "{ type = 'basic', username = 'a:b', password = 'c' }",
        "{ type = 'bearer', token = ' abc' }",
        "{ type = 'bearer', token = 'abc\u00a0' }",
        "{ type = 'header', name = 'X-Key', value = '\ufeffabc' }",
        "{ type = 'basic', username = 'a', password = 'abc\u200b' }",
    ],
)
def test_credentials_that_cannot_be_sent_are_a_fault(auth: str) -> None:
    """A token from a file often ends in a line break; RFC 7617 allows no colon in a user's name."""
    (only,) = found(f"{BACKEND}auth = {auth}")
    assert only.path.startswith("backends.crm.auth")
    assert "abc" not in only.message


def warned(text: str) -> list[str]:
    """Return the warnings about a configuration that can be used."""
    return [str(fault) for fault in compile_catalog(*read(text, {})).warnings]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("status = '4xx'\nis = 'bad'", "status = [404, 410]\nis = 'not_found'"),
        ("when = { code = 1 }\nis = 'bad'", "when = { code = 1, sub = 2 }\nis = 'bad'"),
        ("when = 'error'\nis = 'bad'", "when = 'error'\nstatus = 200\nis = 'ok'"),
        ("when = { code = [1, 2] }\nis = 'bad'", "when = { code = 2 }\nis = 'ok'"),
    ],
)
def test_a_rule_behind_a_wider_one_is_warned_about(first: str, second: str) -> None:
    """Its author believes that it works."""
    text = f"{WHOLE}not_found = {{}}\n[[lookups.order.answers]]\n{first}\n"
    (warning,) = warned(f"{text}[[lookups.order.answers]]\n{second}\n")
    assert warning.startswith("lookups.order.answers[1]: can never match: lookups.order.answers[0] comes")
    assert warned(f"{text}[[lookups.order.answers]]\nstatus = 500\nis = 'rejected'\n") == []


@pytest.mark.parametrize(
    ("first", "second"),
    [("{ code = 1 }", "{ code = true }"), ("{ code = 1 }", "{ code = [1, 2] }"), ("{ code = 1 }", "'code'")],
)
def test_a_rule_that_takes_less_covers_none(first: str, second: str) -> None:
    """A number is no truth value, and the second rule may have work of its own."""
    text = f"{WHOLE}not_found = {{}}\n[[lookups.order.answers]]\nwhen = {first}\nis = 'bad'\n"
    assert warned(f"{text}[[lookups.order.answers]]\nwhen = {second}\nis = 'ok'\n") == []


def test_a_rule_of_the_backend_may_be_covered_by_one_of_a_lookup() -> None:
    """The lookup's exception is what its own rules are for. Other lookups still use the backend's rule."""
    backend = "[[backends.crm.answers]]\nstatus = 404\nis = 'unavailable'\n"
    assert warned(f"{BACKEND}{backend}{LOOKUP}[[lookups.order.answers]]\nstatus = '4xx'\nis = 'bad'\n") == []


def test_not_found_without_variables_for_it_is_warned_about() -> None:
    """The rule would turn a missing customer into a failure."""
    (warning,) = warned(rule("when = { code = 7 }\nis = 'not_found'"))
    assert "declares no `not_found`" in warning


EXPOSED: list[tuple[dict[str, object], str, str]] = [
    ({"query": {"q": "WHERE Phone = '{p}'"}}, "query.q", "may end the '…' around it"),
    ({"query": {"$filter": "emailaddress1 eq '{p}'"}}, "query.$filter", "may end the '…'"),
    ({"query": {"sysparm_query": "number={p}"}}, "query.sysparm_query", "may add to it"),
    ({"method": "POST", "json": {"query": 'query {{ a(b: "{p}") }}'}}, "json.query", 'may end the "…"'),
    ({"method": "POST", "form": {"q": "a {p:any}"}}, "form.q", "may add to it"),
    ({"method": "POST", "body": "select '{p}'", "content_type": "text/plain"}, "body", "may end the '…'"),
]


@pytest.mark.parametrize(("request_", "place", "why"), EXPOSED)
def test_a_place_in_a_text_of_another_language_is_warned_about(
    request_: dict[str, object], place: str, why: str
) -> None:
    """What a visitor types would become part of a query, and bring another customer's name."""
    text = changed("lookups.order.request", {"path": "/", **request_})
    (warning,) = warned(text)
    assert warning.startswith(f"lookups.order.request.{place}: a value of {{p}} {why}")
    assert "{p:soql}" in warning
    assert warned(varied(text, {"lookups.order.accept": {"p": {"match": "[0-9]+"}}})) == []
    for loose in (".+", r"[\w '\"^]+", "[^0-9]+"):
        assert warned(varied(text, {"lookups.order.accept": {"p": {"match": loose}}})) == [warning]


@pytest.mark.parametrize("match", [r"[\w ^]+", r"\w+=\w", r"a[,:]b"])
def test_match_that_ends_no_quotes_may_still_add_to_a_text_without_any(match: str) -> None:
    """ServiceNow's ^ asks for more, and does nothing within quotes."""

    def warns(query: str) -> bool:
        request = {"path": "/", "query": {"q": query}}
        text = changed("lookups.order.request", request)
        return bool(warned(varied(text, {"lookups.order.accept": {"p": {"match": match}}})))

    assert (warns("number={p}"), warns("number = '{p}'")) == (True, False)


SAFE: list[dict[str, object]] = [
    {"path": "/a/{p}/b"},
    {"query": {"q": "{p}"}},
    {"query": {"q": "WHERE Phone = '{p:soql}' AND n = {p:int}"}},
    {"headers": {"X": "a {p}"}},
    {"method": "POST", "json": ["{p}"]},
    {"method": "POST", "body": "<a b='{p}'/>", "content_type": "text/xml"},
    {"method": "POST", "body": '{{"a": "{p}"}}', "content_type": "application/json"},
]


@pytest.mark.parametrize("request_", SAFE, ids=str)
def test_a_place_that_is_encoded_or_stands_alone_is_not_warned_about(request_: dict[str, object]) -> None:
    """A warning that is always there is read by nobody."""
    assert warned(changed("lookups.order.request", {"path": "/", **request_})) == []


def test_our_own_configuration_has_no_warnings() -> None:
    """People begin with it."""
    text = (ROOT / "ops" / "deskgate.toml").read_text(encoding="utf-8")
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "http://x") | {"REDIS_URL": "redis://x"}
    environ |= {"DESKGATE_LISTEN": ":1", "DESKGATE_ADMIN": ":2"}
    assert compile_catalog(*read(text, environ)).warnings == ()


def test_proxy_may_have_credentials() -> None:
    """And nobody sees them."""
    backends = compile_catalog(*read(BACKEND + "proxy = 'http://me:s3cret@p:3128'", {})).settings.backends
    assert "s3cret" not in repr(backends["crm"])


def test_breaker_is_a_table_or_off() -> None:
    """A word in the place of a table."""
    backends = compile_catalog(*read(BACKEND + "breaker = 'off'\n" + LOOKUP, {})).settings.backends
    assert backends["crm"].breaker == "off"
