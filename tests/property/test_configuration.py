"""Every file is a configuration or a list of faults, and no value of the environment is ever shown."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.declared.catalog import compile_catalog, read
from gateway.declared.reading import ConfigFaults

NAMES = """
gateway redis apps routes backends lookups listen budget max_body max_inflight tls cert url prefix timeout 1
token signature markers status app path when crm python auth type attempts order backend request method query
headers json inputs variables required not_found fresh stale_if_error fallback
"""
KEYS = st.sampled_from(NAMES.split())
TEXTS = [
    "",
    "*",
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
    "x:1",
    "http://[",
    "é\n",
]


def quoted(text: str) -> str:
    """Return ``text`` as a TOML string."""
    escaped = "".join(letter if letter.isalnum() else f"\\U{ord(letter):08x}" for letter in text)
    return f'"{escaped}"'


numbers = st.sampled_from(
    ["0", "1", "-1", "1.5", "nan", "inf", "true", "1979-05-27", "07:32:00", f"1{'0' * 400}"]
)
values = st.recursive(
    st.sampled_from(TEXTS).map(quoted) | numbers,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(KEYS, inner, max_size=3).map(
            lambda table: f"{{ {', '.join(f'{quoted(key)} = {value}' for key, value in table.items())} }}"
        )
    ),
    max_leaves=8,
)
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
SECRET = "s3cr3t"  # in every value that the environment gives
SHAPES = [  # how a value may be taken from the environment
    *('"${LEAK}"', '"a ${LEAK}"', '["${LEAK}"]', '{ a = "${LEAK}" }', '{ type = "${LEAK}" }'),
    *('{ type = "bearer", token = "${LEAK}" }', '{ type = "bearer", name = "${LEAK}" }'),
    '{ type = "basic", username = "${LEAK}", password = "p" }',
]
VALUES = [
    f"{before}{SECRET}{after}"
    for before, after in (("", ""), ("/", "?#"), ("", "["), ("", "{"), ("http://", ""))
]


def test_the_file_that_is_spoiled_below_is_sound() -> None:
    """One wrong value at a time is put into it."""
    assert compile_catalog(*read(FULL % SOUND, {})).lookups.keys() == {"order", "churn"}


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(list(SOUND)), values, max_size=4).map(lambda some: FULL % (SOUND | some))
    | st.dictionaries(KEYS, values, max_size=4).map(
        lambda table: "\n".join(f"{quoted(key)} = {value}" for key, value in table.items())
    )
    | st.text()
)
@example("routes = {}")
@example("routes = { lookups = [] }")
@example("backends = { crm = { auth = [] } }")
def test_any_text_is_a_catalog_or_faults(text: str) -> None:
    """``check`` is run on files that are wrong; a trace would say nothing to their authors."""
    try:
        compile_catalog(*read(text, {"A": "crm"}))
    except ConfigFaults as raised:
        faults = raised.faults
    else:
        return
    assert faults
    assert all(fault.message for fault in faults)


@pytest.mark.parametrize("place", SOUND)
def test_no_value_of_the_environment_is_ever_shown(place: str) -> None:
    """Faults go to build logs, structures into tracebacks; a value in the wrong place is still a secret."""
    for shape in SHAPES:
        for value in VALUES:
            try:
                catalog = compile_catalog(*read(FULL % (SOUND | {place: shape}), {"LEAK": value}))
            except ConfigFaults as raised:
                shown = f"{raised} {raised!r} {raised.faults}"
            else:
                shown = f"{catalog} {catalog!r} {catalog.settings}"
            assert SECRET not in shown


def test_every_text_may_come_from_the_environment() -> None:
    """One file for every stage: the environment gives everything that differs."""
    environ: dict[str, str] = {}

    def moved(match: re.Match[str]) -> str:
        name = f"V{len(environ)}"
        environ[name] = match[1]
        return f'"${{{name}}}"'

    text = re.sub('"([^"]*)"', moved, FULL % SOUND)
    given, written = compile_catalog(*read(text, environ)), compile_catalog(*read(FULL % SOUND, {}))
    assert len(environ) > len(SOUND)
    assert given.settings == written.settings
    assert given.lookups.keys() == written.lookups.keys()
