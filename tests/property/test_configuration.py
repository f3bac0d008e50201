"""Any file is a configuration or a list of faults, and no value of the environment is ever shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.catalog import compile_catalog
from gateway.core.config import read
from gateway.core.reading import ConfigFaults

TEXTS = (
    "1s",
    "64KiB",
    "crm",
    "order",
    "/o/{a}",
    "{",
    "a.b",
    "a[",
    "${A}",
    "${B}",
    "",
    "*",
    "x:1",
    "http://crm",
    "é\n",
)
KEYS = (
    *(
        "gateway",
        "redis",
        "apps",
        "routes",
        "backends",
        "lookups",
        "listen",
        "budget",
        "max_body",
        "max_inflight",
    ),
    *(
        "tls",
        "cert",
        "url",
        "prefix",
        "timeout",
        "1",
        "token",
        "signature",
        "markers",
        "status",
        "app",
        "path",
    ),
    *("when", "crm", "python", "auth", "type", "attempts", "order", "backend", "request", "method", "query"),
    *(
        "headers",
        "json",
        "inputs",
        "variables",
        "required",
        "not_found",
        "fresh",
        "stale_if_error",
        "fallback",
    ),
)


def quoted(text: str) -> str:
    """Return ``text`` as a TOML string."""
    escaped = "".join(letter if letter.isalnum() else f"\\U{ord(letter):08x}" for letter in text)
    return f'"{escaped}"'


numbers = st.sampled_from(
    ["0", "1", "-1", "1.5", "nan", "inf", "true", "1979-05-27", "07:32:00", f"1{'0' * 400}"]
)
values = st.recursive(
    st.sampled_from([*TEXTS, "order"]).map(quoted) | numbers,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6).map(
            lambda table: f"{{ {', '.join(f'{quoted(key)} = {value}' for key, value in table.items())} }}"
        )
    ),
    max_leaves=20,
)
LEAVES: dict[str, dict[str, object]] = {
    "gateway": {"listen": 0, "budget": 0, "max_body": 0, "max_inflight": 0, "local_records": 0, "tls": 0},
    "redis": {"url": 0, "prefix": 0, "timeout": 0},
    "apps": {"1": {"token": 0, "signature": 0, "on_degraded": 0, "markers": {"status": 0, "age": 0}}},
    "backends": {"crm": {"url": 0, "auth": {"type": 0, "token": 0}, "attempts": 0, "max_reply": 0}},
    "lookups": {
        "order": {
            "backend": 0,
            "request": {"path": 0, "method": 0, "query": {"a": 0}, "headers": {"a": 0}, "json": 0},
            "python": 0,
            "variables": {"status": 0},
            "required": 0,
            "not_found": {"status": 0},
            "fresh": 0,
            "fallback": 0,
        }
    },
}


@st.composite
def files(draw: st.DrawFn) -> str:
    """Return a file with every table where it belongs, and anything in it."""

    def table(shape: dict[str, object]) -> str:
        pairs = []
        for key, inner in shape.items():
            if draw(st.integers(0, 3)):
                inside = table(inner) if isinstance(inner, dict) and draw(st.integers(0, 5)) else draw(values)
                pairs.append(f"{quoted(key)} = {inside}")
        return f"{{ {', '.join(pairs)} }}"

    routes = [table({"lookups": 0, "app": 0, "when": {"a": 0}}) for _ in range(draw(st.integers(0, 2)))]
    return f"routes = [{', '.join(routes)}]\n" + "\n".join(
        f"{key} = {table(shape)}" for key, shape in LEAVES.items()
    )


@settings(deadline=None)
@given(
    files()
    | st.dictionaries(st.sampled_from(KEYS), values).map(
        lambda table: "\n".join(f"{quoted(key)} = {value}" for key, value in table.items())
    )
    | st.text()
)
def test_any_text_is_a_catalog_or_faults(text: str) -> None:
    """``check`` is run on files that are wrong; a trace would say nothing to whoever wrote one."""
    try:
        compile_catalog(*read(text, {"A": "crm"}))
    except ConfigFaults as raised:
        faults = raised.faults
    else:
        return
    assert faults
    assert all(fault.message for fault in faults)


SECRET = "s3cr3t"  # in every value that the environment gives
FULL = """
[gateway]
listen = %(listen)s
[redis]
url = %(redis url)s
prefix = %(prefix)s
[apps.1400000001]
token = %(token)s
signature = %(signature)s
markers = { status = %(marker)s }
[[routes]]
path = %(route path)s
when = { staticKey = %(condition)s }
lookups = %(route)s
[backends.crm]
url = %(backend url)s
auth = %(auth)s
[lookups.order]
backend = %(backend)s
inputs = %(inputs)s
variables = { status = %(expression)s, total = "total" }
required = %(required)s
not_found = { status = %(not found)s }
fresh = %(fresh)s
fallback = { status = %(fallback)s }
[lookups.order.request]
method = %(method)s
path = %(path)s
query = { q = %(query)s }
headers = { X-Key = %(header)s }
json = %(json)s
[lookups.churn]
python = %(function)s
variables = { risk = "risk" }
"""
SOUND = {
    "listen": '"127.0.0.1:0"',
    "redis url": '"redis://x"',
    "prefix": '"deskgate"',
    "token": '"t"',
    "signature": '"required"',
    "marker": '"Status"',
    "route path": '"/o"',
    "condition": '"order"',
    "route": '["order"]',
    "backend url": '"http://crm"',
    "auth": '{ type = "none" }',
    "backend": '"crm"',
    "inputs": '["i"]',
    "expression": '"status"',
    "required": '["status"]',
    "not found": '"none"',
    "fresh": '"60s"',
    "fallback": '"unknown"',
    "method": '"POST"',
    "path": '"/orders"',
    "query": '"q"',
    "header": '"h"',
    "json": '["j"]',
    "function": '"m:f"',
}
SHAPES = (  # how a value may be taken from the environment
    *('"${LEAK}"', '"a ${LEAK}"', '["${LEAK}"]', '{ a = "${LEAK}" }'),
    *(
        '{ type = "${LEAK}" }',
        '{ type = "bearer", token = "${LEAK}" }',
        '{ type = "bearer", name = "${LEAK}" }',
    ),
    *(
        '{ type = "header", name = "X", value = "${LEAK}" }',
        '{ type = "basic", username = "${LEAK}", password = "p" }',
    ),
)
VALUES = (
    SECRET,
    f"/{SECRET}",
    f"{SECRET}[",
    f"{SECRET}{{",
    f"/{SECRET}?#",
    f"http://{SECRET}",
    f"redis://:{SECRET}@x",
)


def test_the_file_that_is_spoiled_below_is_sound() -> None:
    """One wrong value at a time is put into it."""
    assert compile_catalog(*read(FULL % SOUND, {})).lookups.keys() == {"order", "churn"}


@pytest.mark.parametrize("place", SOUND)
def test_no_fault_shows_a_value_of_the_environment(place: str) -> None:
    """Faults go to terminals and build logs; a value in the wrong place is still a secret."""
    for shape in SHAPES:
        for value in VALUES:
            try:
                compile_catalog(*read(FULL % (SOUND | {place: shape}), {"LEAK": value}))
            except ConfigFaults as raised:
                shown = f"{raised} {raised!r} {raised.faults}"
            else:
                continue
            assert SECRET not in shown


@pytest.mark.parametrize("place", SOUND)
def test_no_printed_configuration_shows_a_value_of_the_environment(place: str) -> None:
    """A traceback with locals prints whole structures; addresses may hold passwords, headers keys."""
    for shape in SHAPES:
        for value in VALUES:
            try:
                catalog = compile_catalog(*read(FULL % (SOUND | {place: shape}), {"LEAK": value}))
            except ConfigFaults:
                continue
            assert SECRET not in repr(catalog)
            assert SECRET not in repr(catalog.settings)
