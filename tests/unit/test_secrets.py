"""Which texts of a configuration are secrets, and how they stand in other texts."""

import base64
import json

import pytest

from gateway.declared.catalog import compile_catalog, read
from gateway.declared.mask import mask_of
from gateway.declared.reading import ConfigFaults
from gateway.declared.secrets import HIDDEN, forms_of, hide_in_address, secrets_of

ADDRESSES = """
[redis]
url = "redis+sentinel://u:p%2Fw345@[::1]:1,[::2]:2/svc?sentinel_password=hun%20ter22"
[backends.api]
url = "https://api.example.com/bot${BOT_TOKEN}/${TENANT}"
proxy = "http://me:proxy-pass@proxy:3128"
[backends.base]
url = "${file:base}/v1"
[backends.key]
url = "https://k3y-alone@key.example.com"
[backends.sql]
url = "postgresql://u:12/3456@h/db?sslpassword=of-the-key"
[lookups.soap]
backend = "api"
variables = { a = "a" }
[lookups.soap.request]
method = "POST"
path = "/soap/${API_KEY}/${TENANT}"
content_type = "text/xml"
body = "<E><Password>${SOAP_PASSWORD}</Password><id>{id}</id></E>"
headers = { X-Sent = "by ${SENDER}; id={id}" }
"""
ENVIRONMENT = {
    "BOT_TOKEN": "123:AAbbCC",
    "TENANT": "tenant-one",
    "file:base": "https://in:file-pass@base.example.com",
    "API_KEY": "path-key",
    "SOAP_PASSWORD": "soap-password",
    "SENDER": "sender-name",
}


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("p%2Fw345", "•••"),
        ("p/w345", "•••"),
        ("hun%20ter22", "•••"),
        ("hun ter22", "•••"),
        ("proxy-pass", "•••"),
        (base64.b64encode(b"me:proxy-pass").decode(), "•••"),
        ("file-pass", "•••"),
        ("k3y-alone", "•••"),
        ("12/3456", "•••"),
        ("of-the-key", "•••"),
        ("<Password>soap-password</Password><id>7</id>", "<Password>•••</Password><id>7</id>"),
        ("by sender-name; id=7", "by •••; id=7"),
        ("/bot123:AAbbCC/tenant-one/soap/path-key", "/bot•••/tenant-one/soap/•••"),
        ("https://in@base.example.com/v1", "https://in@base.example.com/v1"),
    ],
)
def test_a_secret_is_one_also_within_a_longer_text(secret: str, shown: str) -> None:
    """A place of the text is filled later, so its whole is found nowhere."""
    settings, faults = read(ADDRESSES, ENVIRONMENT)
    assert faults == []
    assert mask_of(settings).text(secret) == shown


def test_an_address_without_a_secret_has_none() -> None:
    """A user alone is a name, and not every option a key."""
    text = '[redis]\nurl = "redis://alone@h:1/0"\n[backends.a]\nurl = "postgresql://user-only@h/db?options=plain"\n'
    assert set(secrets_of(read(text, {})[0])) == set()


def test_what_is_sent_under_a_secrets_name_is_one_though_the_file_has_it() -> None:
    """Names of settings, and of variables, are no such names."""
    text = """
[apps.1]
signature = "required"
token = "of-the-app"
[backends.a]
url = "http://a"
auth.type = "login"
auth.token = "access_token"
auth.request = { path = "/login", json = { user = "me-myself", password = "in-the-file", many = [1, "x"] } }
[lookups.a]
backend = "a"
variables = { token = "data.token" }
request = { path = "/a", headers = { X-Api-Key = "of-the-header", X-Kind = "of-no-interest" } }
"""
    settings, faults = read(text, {})
    assert faults == []
    assert set(secrets_of(settings)) == {"of-the-app", "in-the-file", "of-the-header"}


def test_user_and_password_are_hidden_as_they_are_sent() -> None:
    """In base64 (RFC 7617): a backend that echoes a request tells them so."""
    text = """
[backends.a]
url = "http://a"
auth = { type = "basic", username = "me", password = "hunter2" }
[backends.b]
url = "http://b"
auth = { type = "oauth2", token_url = "http://b", client_id = "a/b", client_secret = "s3cret/" }
"""
    found = set(secrets_of(read(text, {})[0]))
    assert base64.b64encode(b"me:hunter2").decode() in found
    assert base64.b64encode(b"a%2Fb:s3cret%2F").decode() in found


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://:pw@h/0", "redis://:•••@h/0"),
        ("redis://u:${PW}@h/0", "redis://u:${PW}@h/0"),
        (
            "redis+sentinel://a,b/s?sentinel_password=x&db=1",
            "redis+sentinel://a,b/s?sentinel_password=•••&db=1",
        ),
        ("postgresql://u:p/w?@x@h/db", "postgresql://u:•••@h/db"),
        ("https://token@h/x", "https://•••@h/x"),
        ("https://h:8080/users/@me", "https://h:8080/users/@me"),
        ("https://h/x?api_key=${KEY}", "https://h/x?api_key=${KEY}"),
        ("redis://u@h", "redis://u@h"),
        ("https://h/x?page=2", "https://h/x?page=2"),
        ("no address: a@b", "no address: a@b"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    """However short it is."""
    assert hide_in_address(address) == shown


def test_a_secret_is_known_as_other_programs_write_it() -> None:
    """Frameworks escape slashes and letters of JSON, and the marks of XML; some write escapes small."""
    secret = "a/b+c&d<e>\"f'é"
    forms = forms_of(secret)
    assert json.dumps(secret)[1:-1] in forms
    assert "a%2fb%2bc%26d%3ce%3e%22f%27%c3%a9" in forms
    assert "a/b+c&amp;d&lt;e&gt;&quot;f&apos;é" in forms
    assert "a/b+c&amp;d&lt;e&gt;&quot;f&#x27;é" in forms
    assert json.dumps(secret).replace("/", r"\/")[1:-1] in forms


IN_A_QUERY = """
[backends.b]
url = "http://b"
[lookups.a]
backend = "b"
variables = { a = "a" }
request = { path = "/x", query = { q = "${S}" } }
"""
IN_A_SIGNATURE = """
[backends.b]
url = "http://b"
auth = { type = "sign", secret = "x", over = "${S}{body}", place = { header = "X" } }
"""


@pytest.mark.parametrize("text", [IN_A_QUERY, IN_A_SIGNATURE])
def test_braces_in_a_secret_show_nothing_of_it(text: str) -> None:
    """It is no template; what stands in its braces is told of the author's own texts alone."""
    with pytest.raises(ConfigFaults) as caught:
        compile_catalog(*read(text, {"S": "pa{ss:word}"}))
    assert "word" not in str(caught.value)
    assert HIDDEN not in str(caught.value)
