"""Slips that people make in a configuration: each is named with its place, and with what to write instead."""

import msgspec
import pytest

from gateway.declared.credentials import Auth
from tests.unit.test_config import BACKEND, WHOLE, compiled, faults

KINDS = {one.__struct_config__.tag: one for one in Auth.__args__}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, "'text'", "7", "{ heder = 'x' }"])
def test_credentials_that_are_not_whole_are_told_and_no_bug(kind: str, value: str | None) -> None:
    """Nobody who forgets `place` can make anything of a traceback."""
    keys = [field.encode_name for field in msgspec.structs.fields(KINDS[kind])]
    table = "".join(f"{key} = {value}\n" for key in keys if value)
    told = faults(f"{BACKEND}[backends.crm.auth]\ntype = '{kind}'\n{table}")
    assert all(fault.startswith("backends.crm.auth.") for fault in told)


@pytest.mark.parametrize(
    ("auth", "missing"),
    [
        ("type = 'key'\nvalue = 'x'", "place"),
        ("type = 'sign'\nsecret = 'x'\nover = '{body}'", "place"),
        ("type = 'login'\ntoken = 'token'", "request"),
    ],
)
def test_a_table_that_credentials_need_is_missed(auth: str, missing: str) -> None:
    """Once, and by its name."""
    assert faults(f"{BACKEND}[backends.crm.auth]\n{auth}\n") == [f"backends.crm.auth.{missing}: missing"]


LOOKUP = '[lookups.order]\nbackend = "crm"\nvariables = { status = "status" }\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[gateway]\nbudget = 1.6", "gateway.budget: expected text in quotes, such as '1.6s', got a number"),
        ("[gateway]\nlisten = 8080", "gateway.listen: expected text in quotes, such as '127.0.0.1:8080',"),
        ("[[routes]]\nlookups = 'order'", "routes[0].lookups: expected a list in brackets, got text"),
        ("[apps.1]\nsignature = false", "apps.1.signature: expected one of required, optional, off, got a"),
        (f"{BACKEND}breaker = false", "backends.crm.breaker: expected a table, or 'off', got a boolean"),
        (f"{BACKEND}attempts = 2.5", "backends.crm.attempts: expected a whole number without quotes, got a"),
        (
            "[logs]\nlevel = 'warn'",
            "logs.level: 'warn' is not one of debug, info, warning, error; did you mean",
        ),
        (f"{LOOKUP}empty = 'none'", "lookups.order.empty: 'none' is not one of not_found, bad, ok"),
        (
            f"{LOOKUP}variables = {{ a = 3 }}".replace("variables = { s", "#"),
            "lookups.order.variables.a: expected",
        ),
        (f"{LOOKUP}path = '/o'", "lookups.order.path: unknown key; it belongs into `request`"),
        (f"{BACKEND}token = 't'", "backends.crm.token: unknown key; it belongs into `auth`"),
        ("budget = '1s'", "budget: unknown key; it belongs into `gateway`"),
        ("[gateway]\nlogs = 1", "gateway.logs: unknown key"),
        (
            f"{LOOKUP}[backends.CRM]\nurl = 'http://crm'",
            "lookups.order.backend: 'crm' is not a backend; did you",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_words_of_the_file(text: str, told: str) -> None:
    """Not in those of a library: `str`, `array` and `enum` are no words of TOML."""
    assert any(fault.startswith(told) for fault in faults(text)), faults(text)


def test_a_number_from_the_environment_is_told_without_its_value() -> None:
    """A variable gives text; whoever wants a number from it learns that."""
    (told,) = faults(f'{BACKEND}attempts = "${{N}}"', N="hunter2")
    assert told.endswith(
        "does not fit here: expected a whole number without quotes, and a variable gives text"
    )
    assert "hunter2" not in told


def warned(text: str) -> list[str]:
    """Return the warnings about a configuration that can be used."""
    return [str(fault) for fault in compiled(text).warnings]


@pytest.mark.parametrize(
    ("first", "second", "covered"),
    [
        ("", "when = { node = 'order' }", True),
        ("when = { node = '*' }", "when = { node = 'order' }", True),
        ("when = { node = 'order' }", "when = { node = 'order', lang = 'en' }", True),
        ("when = { node = '' }", "app = 1\npath = '/a'\nwhen = { node = '' }", True),
        ("app = 1", "app = 1\npath = '/a'", True),
        ("when = { node = '*' }", "when = { node = '' }", False),
        ("when = { node = '*' }", "", False),
        ("when = { node = '' }", "when = { node = 'order' }", False),
        ("when = { node = 'order' }", "when = { node = 'customer' }", False),
        ("app = 1", "", False),
        ("path = '/a'", "path = '/b'", False),
    ],
)
def test_a_route_behind_a_wider_one_is_warned_about(first: str, second: str, covered: bool) -> None:  # noqa: FBT001
    """The first match wins, so its lookups are never made: its author looks for the fault in the flow."""
    app = "[apps.1]\ntoken = 't'\n[apps.2]\ntoken = 't'\n"
    routes = "".join(
        f"[[routes]]\n{one}\n{'' if 'lookups' in one else 'lookups = []'}\n" for one in (first, second)
    )
    text = f"{app}{routes}"
    told = faults(text) if "lookups = 3" in first else warned(text)
    message = "routes[1]: can never match: routes[0] comes first and matches all that this one does"
    assert (message in told) == covered


def test_a_rule_of_a_backend_behind_a_wider_one_is_warned_about_once() -> None:
    """However many lookups ask it."""
    rules = ("status = '4xx'\nis = 'bad'\n", "status = 404\nis = 'ok'\n")
    text = WHOLE + "".join(f"[[backends.crm.answers]]\n{rule}" for rule in rules)
    (warning,) = warned(text + WHOLE.replace(BACKEND, "").replace("order", "other"))
    assert warning.startswith("backends.crm.answers[1]: can never match: backends.crm.answers[0] comes first")


def test_a_fault_in_a_rule_of_a_backend_is_one_fault() -> None:
    """Two lookups ask it; its author has one text to correct."""
    rule = "[[backends.crm.answers]]\nwhen = 'code = 7'\nis = 'bad'\n"
    (fault,) = faults(WHOLE + rule + WHOLE.replace(BACKEND, "").replace("order", "other"))
    assert fault.startswith("backends.crm.answers[0].when: ")


def test_lookups_that_nobody_asks_for_are_known() -> None:
    """A lookup that was forgotten in its route sets nothing."""
    assert compiled(WHOLE).unasked == ("order",)
    assert compiled(f"{WHOLE}[[routes]]\nlookups = ['order']\n").unasked == ()
    assert compiled(f"{WHOLE}[apps.1]\ntoken = 't'\nprefetch = ['order']\n").unasked == ()
