"""Credentials in the form that each scheme asks for, and nowhere else."""

import base64

import pytest

from gateway.declared.credentials import Auth, BasicAuth, BearerAuth, HeaderAuth, NoAuth
from gateway.declared.reading import Secret
from gateway.lookups.credentials.fixed import auth_headers


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (NoAuth(), {}),
        (BearerAuth(token=Secret("abc.DEF-1")), {"Authorization": "Bearer abc.DEF-1"}),
        (
            BasicAuth(username="Aladdin", password=Secret("open sesame")),
            {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},  # the example of RFC 7617
        ),
        (HeaderAuth(name="X-Api-Key", value=Secret("k1")), {"X-Api-Key": "k1"}),
    ],
    ids=["none", "bearer", "basic", "header"],
)
def test_each_scheme_has_its_headers(auth: Auth, headers: dict[str, str]) -> None:
    """A backend that does not see its credentials answers 401 to everything."""
    assert auth_headers(auth) == headers


def test_basic_credentials_are_utf8() -> None:
    """RFC 7617, 2.1: a password with an umlaut is not a reason to be locked out."""
    header = auth_headers(BasicAuth(username="zoë", password=Secret("päss:wörd")))["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "zoë:päss:wörd"


def test_a_header_value_is_plain_text_for_the_http_layer() -> None:
    """A Secret prints as stars; what is sent must be the secret itself."""
    assert repr(auth_headers(HeaderAuth(name="K", value=Secret("k1")))["K"]) == "'k1'"


@pytest.mark.parametrize(
    "auth",
    [
        BearerAuth(token=Secret("s3cret")),
        BasicAuth(username="deskgate", password=Secret("s3cret")),
        HeaderAuth(name="X-Api-Key", value=Secret("s3cret")),
    ],
    ids=["bearer", "basic", "header"],
)
def test_printed_credentials_show_no_secret(auth: Auth) -> None:
    """A traceback with locals must not end a token's life."""
    assert "s3cret" not in repr(auth)
    assert "s3cret" not in f"{auth}"
