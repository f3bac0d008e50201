"""Credentials put into requests: a key at its place, a signature over what the vendor wants signed."""

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import LookupFailed
from gateway.declared.backend import Backend
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.placing import PlaceTable
from gateway.declared.reading import Secret
from gateway.declared.request import FilledRequest
from gateway.declared.signature import SignAuth
from gateway.lookups.credentials import find_faults
from gateway.lookups.credentials.fixed import Key
from gateway.lookups.credentials.grants import open_grant
from gateway.lookups.credentials.placing import FORM, put, with_params
from gateway.lookups.credentials.sign import Signer
from gateway.lookups.reach import Reach

GET = FilledRequest("GET", "/v?a=b%20c", {"X-Own": "1"}, None, "application/json")
BARE = FilledRequest("GET", "/v", {}, None, "application/json")
POST_FORM = FilledRequest("POST", "/v", {}, b"a=b", FORM)
POST_JSON = FilledRequest("POST", "/v", {}, b'{"total":29.90}', "application/json")
EMPTY = FilledRequest("POST", "/v", {}, b"{ }", "application/json")
NOW = 1_731_488_371.784


def placed(request: FilledRequest, key: str = "k&1", **place: str) -> FilledRequest:
    """Return the request with a key at a place."""
    return put(request, PlaceTable(**place), key)


def test_key_stands_where_the_backend_wants_it() -> None:
    """Encoded for that place; the numbers of a body stay as the lookup wrote them."""
    assert placed(GET, query="apikey").target == "/v?a=b%20c&apikey=k%261"
    assert placed(BARE, query="apikey").target == "/v?apikey=k%261"
    assert placed(GET, header="X-Key", text="Key {token}").headers == {"X-Own": "1", "X-Key": "Key k&1"}
    assert placed(POST_FORM, form="apikey").body == b"a=b&apikey=k%261"
    assert placed(POST_JSON, json='api"key').body == b'{"api\\"key":"k&1","total":29.90}'
    assert placed(EMPTY, json="apikey").body == b'{"apikey":"k&1"}'


def test_header_that_the_lookup_declares_itself_stays() -> None:
    """Its author knows better."""
    assert placed(GET, header="x-own").headers == {"X-Own": "1"}


@pytest.mark.parametrize(
    ("request_", "place"), [(GET, "form"), (POST_JSON, "form"), (GET, "json"), (POST_FORM, "json")]
)
def test_request_without_such_a_place_is_a_fault_that_says_so(request_: FilledRequest, place: str) -> None:
    """Sent without credentials, it would be refused by the backend, and nobody would know why."""
    with pytest.raises(LookupFailed, match="the credentials belong into a"):
        placed(request_, **{place: "apikey"})


async def test_key_is_the_same_for_each_request() -> None:
    """There is no other one."""
    catalog = compile_catalog(
        *read(
            '[backends.crm]\nurl = "http://crm"\n[backends.crm.auth]\ntype = "key"\nvalue = "${KEY}"\n'
            'place = { query = "k" }\n',
            {"KEY": "k1"},
        )
    )
    auth = catalog.settings.backends["crm"].auth
    assert "k1" not in repr(auth)
    key = Key(auth)  # type: ignore[arg-type] # the kind that is declared above
    key.start()
    assert await key.add(BARE) == (placed(BARE, "k1", query="k"), "")
    assert not await key.renew("")
    await key.close()


def signer(**settings: object) -> Signer:
    """Return a signer at a known time."""
    usual: dict[str, object] = {
        "secret": Secret("s3cret"),
        "place": PlaceTable(query="sign"),
        "over": "{body}",
    }
    auth = SignAuth(**(usual | settings))  # type: ignore[arg-type] # of any kind
    assert "s3cret" not in repr(auth)
    return Signer(auth, now=lambda: NOW, nonce=lambda: "n1")


async def test_sorted_parameters_between_secrets() -> None:
    """As Kingdee, Taobao and their like want it: every parameter, sorted, in one text, in upper case."""
    own = signer(
        algorithm="md5",
        encode="HEX",
        over="{secret}{sorted_pairs}{secret}",
        params={"app_key": "a1", "timestamp": "{timestamp}"},
        timestamp="%Y-%m-%d %H:%M:%S",
    )
    own.start()
    signed, _ = await own.add(FilledRequest("GET", "/r?method=get&z=%E5%AE%A2", {}, None, ""))
    text = "s3cretapp_keya1methodgettimestamp2024-11-13 08:59:31z客s3cret"
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
    assert signed.target == (
        f"/r?method=get&z=%E5%AE%A2&app_key=a1&timestamp=2024-11-13%2008%3A59%3A31&sign={digest}"
    )
    assert not await own.renew("")
    await own.close()


async def test_hmac_over_method_path_and_body_in_headers() -> None:
    """As webhooks and cloud APIs want it."""
    own = signer(
        over="{method}\n{path}\n{timestamp}\n{nonce}\n{body}",
        headers={"X-Time": "{timestamp}", "X-Nonce": "{nonce}"},
        place=PlaceTable(header="X-Sign", text="v1={token}"),
        encode="base64",
        timestamp="ms",
    )
    signed, _ = await own.add(POST_JSON)
    text = 'POST\n/v\n1731488371784\nn1\n{"total":29.90}'
    assert signed.headers["X-Time"] == "1731488371784"
    import base64  # noqa: PLC0415 - here alone

    expected = base64.b64encode(hmac.new(b"s3cret", text.encode(), "sha256").digest()).decode()
    assert signed.headers["X-Sign"] == f"v1={expected}"
    assert signed.body == POST_JSON.body


async def test_form_is_sorted_with_its_own_parameters_and_gets_the_signature() -> None:
    """A value that has an ampersand is one value."""
    own = signer(
        over="{sorted_query}",
        place=PlaceTable(form="sign"),
        params={"t": "{timestamp}"},
        algorithm="sha1",
    )
    signed, _ = await own.add(FilledRequest("POST", "/v?q=1", {}, b"z=1%262&a=", FORM))
    digest = hashlib.sha1(b"a=&q=1&t=1731488371&z=1&2", usedforsecurity=False).hexdigest()
    assert signed.body == b"z=1%262&a=&t=1731488371&sign=" + digest.encode()


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), min_size=1, max_size=4),
    st.text(max_size=40),
)
def test_what_is_spliced_into_a_body_is_json_with_all_that_was_there(
    params: dict[str, str], text: str
) -> None:
    """Whatever the names and values are."""
    params = {name: value for name, value in params.items() if name != "own"}
    try:
        body = json.dumps({"own": text}, ensure_ascii=False).encode()
        for value in (*params, *params.values()):
            value.encode()
    except UnicodeEncodeError:
        return
    request = FilledRequest("POST", "/v", {}, body, "application/json")
    assert json.loads(with_params(request, "json", params).body or b"") == params | {"own": text}


def backend_with(auth: str, **environ: str) -> Backend:
    """Return a backend with credentials."""
    text = f'[backends.crm]\nurl = "http://crm"\n[backends.crm.auth]\n{auth}'
    return compile_catalog(*read(text, environ)).settings.backends["crm"]


def test_entry_of_a_token_is_named_by_the_client_and_not_by_the_secret() -> None:
    """A renewed secret is the same client; another client must not use this one's token."""
    text = 'type = "oauth2"\ntoken_url = "http://t"\nclient_id = "${C}"\nclient_secret = "${S}"\n'
    text += 'lifetime = "60s"\n'
    names = []
    for client, secret in (("a", "1"), ("a", "2"), ("b", "1")):
        backend = backend_with(text, C=client, S=secret)
        names.append(open_grant(backend.auth, backend, "crm", Reach(backend)).whose)  # type: ignore[arg-type] # of this kind
    assert names[0] == names[1] != names[2]


NO_KEY = """
type = "oauth2"
token_url = "http://t"
issuer = "me"
key = "no key"
grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""


@pytest.mark.parametrize(
    ("auth", "faults"),
    [
        ('type = "login"\nurl = "http://login"\nrequest = { path = "/x" }\ntoken = "t"', []),
        ('type = "bearer"\ntoken = "t"', []),
        (
            NO_KEY,
            ["backends.crm.auth.key: is no key for RS256: it takes a private key in PEM"],
        ),
    ],
)
def test_key_that_cannot_be_used_is_a_fault_of_check(auth: str, faults: list[str]) -> None:
    """It names the setting, and shows nothing of the key."""
    assert [str(fault) for fault in find_faults(backend_with(auth), "crm")] == faults
