"""Whatever is shown to people: no secret of the configuration is in it, and the rest is as it was."""

import json
from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st

from gateway.declared.catalog import read
from gateway.declared.mask import SHORTEST, Mask, mask_of
from gateway.declared.secrets import HIDDEN
from tests.property.test_mapping import json_values

secrets = st.text(st.characters(codec="utf-8", exclude_characters="•"), min_size=SHORTEST, max_size=40)
texts = st.text(max_size=20)


@given(st.lists(secrets, min_size=1, max_size=4), texts, texts)
def test_no_secret_is_left_in_a_text(hidden: list[str], before: str, after: str) -> None:
    """Also not as it stands in an address, a form, or JSON."""
    mask = Mask(hidden)
    for secret in hidden:
        for form in (
            secret,
            quote(secret, safe=""),
            urlencode({"k": secret})[2:],
            json.dumps(secret, ensure_ascii=False)[1:-1],
        ):
            assert form not in mask.text(before + form + after).replace(HIDDEN, "")


@given(json_values, secrets)
def test_a_value_without_secrets_stays_as_it_is(value: object, secret: str) -> None:
    """A mask that hides too much helps nobody."""
    written = json.dumps(value, ensure_ascii=False)
    if secret not in written and not any(Mask().hides(name) for name in names(value)):
        assert json.dumps(Mask(()).value(value), ensure_ascii=False) == written


@given(json_values, st.sampled_from(["password", "X-Api-Key", "access_token", "Set-Cookie", "phone"]))
def test_what_has_a_secrets_name_is_hidden_as_a_whole(value: object, name: str) -> None:
    """`phone` is a name that the mask was given."""
    masked = Mask(names=["Phone"]).value([{"a": {name: value}}])
    assert masked[0]["a"][name] == (value if value in (None, "", [], {}) else HIDDEN), "no and 0 say much"


def test_a_number_is_hidden_by_its_text_and_what_json_cannot_say_stays() -> None:
    """A database, or a Python lookup, may return anything."""
    thing = object()
    mask = Mask(["12345678"])
    shown = mask.value({"a": 12345678, "b": 1.5, "c": True, "d": None, "e": thing, "12345678": ("x",)})
    assert shown == {"a": HIDDEN, "b": 1.5, "c": True, "d": None, "e": thing, HIDDEN: ["x"]}


def names(value: object) -> list[str]:
    """Return the names of all objects in a value."""
    if isinstance(value, dict):
        return [*value, *(name for one in value.values() for name in names(one))]
    return [name for one in value for name in names(one)] if isinstance(value, list) else []


CONFIGURATION = """
[redis]
url = "redis://user:redis-password@localhost/0"
[apps.1]
token = ["first-token", "${SECOND}"]
[backends.crm]
url = "${CRM}"
auth = { type = "basic", username = "${LOGIN}", password = "a-password" }
[lookups.order]
backend = "crm"
request = { path = "/v1/${TENANT}", headers = { X-Region = "${REGION}" } }
variables = { status = "status" }
"""
ENVIRONMENT = {
    "SECOND": "second-token",
    "CRM": "https://crm.example/api",
    "LOGIN": "login-name",
    "TENANT": "tenant-one",
    "REGION": "eu",
}


def test_a_configuration_hides_its_credentials_and_what_comes_from_the_environment() -> None:
    """Where a question goes can be seen; a text of two letters would be hidden in every word."""
    settings, faults = read(CONFIGURATION, ENVIRONMENT)
    assert faults == []
    mask = mask_of(settings)
    for secret in ("redis-password", "first-token", "second-token", "login-name", "a-password"):
        assert mask.text(f"see {secret}!") == f"see {HIDDEN}!"
    for shown in ("https://crm.example/api", "/v1/tenant-one", "europe", "user", "localhost"):
        assert mask.text(shown) == shown
    assert mask.also(["phone"]).named({"phone": "123", "empty": "", "x": "a-password"}) == {
        "phone": HIDDEN,
        "empty": "",
        "x": HIDDEN,
    }
