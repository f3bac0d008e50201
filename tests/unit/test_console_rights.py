"""Who may use the console: each way in, and each way that must not lead in."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.console.rights import (
    LOGIN_LASTS,
    bearer_of,
    is_from_our_page,
    is_local,
    is_loopback,
    make_cookie,
    right_of_cookie,
    right_of_token,
)
from gateway.declared.admin_token import AdminTokens
from gateway.declared.reading import Secret
from gateway.declared.values import Tokens

NOW = 1_800_000_000.0
READ, NEW, OLD = "to-read-with-0123", "to-act-with-456789", "to-act-with-abcdef"
TOKENS = AdminTokens(read=Tokens([Secret(READ)]), act=Tokens([Secret(NEW), Secret(OLD)]))


def test_token_gives_its_right_and_others_give_none() -> None:
    """Old tokens count as long as they are declared."""
    assert [right_of_token(TOKENS, token) for token in (READ, NEW, OLD)] == ["read", "act", "act"]
    assert [right_of_token(TOKENS, token) for token in ("", READ[:-1], f"{READ} ", "\ud800", "é")] == [
        None
    ] * 5


@pytest.mark.parametrize("token", [READ, NEW, OLD])
def test_cookie_gives_the_right_of_its_token_for_its_time(token: str) -> None:
    """Each process of an address reads it, without having given it."""
    right = right_of_token(TOKENS, token)
    assert right is not None
    cookie = make_cookie(token, right, NOW)
    assert right_of_cookie(TOKENS, cookie, NOW) == right
    assert right_of_cookie(TOKENS, cookie, NOW + LOGIN_LASTS - 1) == right
    assert right_of_cookie(TOKENS, cookie, NOW + LOGIN_LASTS) is None
    assert right_of_cookie(AdminTokens(read=Tokens([Secret("another-token-000")])), cookie, NOW) is None


def test_cookie_cannot_be_made_more_of() -> None:
    """Neither another right, nor a longer time."""
    cookie = make_cookie(READ, "read", NOW)
    _, until, signature = cookie.split(".")
    assert right_of_cookie(TOKENS, f"act.{until}.{signature}", NOW) is None
    assert right_of_cookie(TOKENS, f"read.{int(until) + 1}.{signature}", NOW) is None
    assert right_of_cookie(TOKENS, make_cookie(READ, "act", NOW), NOW) is None
    far = make_cookie(NEW, "act", NOW + 1e6)  # by a clock that was wrong
    assert right_of_cookie(TOKENS, far, NOW) is None


SOON = int(NOW) + 60


@pytest.mark.timeout(120)
@given(
    st.text()
    | st.from_regex(r"(read|act)\.\d{1,30}\.[0-9a-f]{64}")
    | st.builds(f"read.{SOON}.{{}}".format, st.text(st.characters()))
)
@example(f"read.{SOON:020d}{'1' * 5000}.x")  # more digits than Python reads
@example(f"read.{SOON}.é")
@example(f"read.{SOON}.\ud800")
def test_no_other_text_is_a_cookie(text: str) -> None:
    """Whatever a browser or an attacker sends."""
    assert right_of_cookie(TOKENS, text, NOW) is None


def test_bearer_is_read_from_the_header() -> None:
    """Its scheme has no case (RFC 9110, 11.1)."""
    assert bearer_of({"Authorization": f"bearer {READ} "}) == READ
    assert bearer_of({"Authorization": f"Basic {READ}"}) == bearer_of({}) == ""


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"Origin": "http://gate:8081", "Host": "gate:8081"}, True),
        ({"Origin": "https://Gate.example", "Host": "gate.example"}, True),
        ({"Origin": "http://gate:8081", "Host": "gate:8081", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://gate:8081", "Host": "gate:8081", "Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://gate:8082", "Host": "gate:8081"}, False),
        ({"Origin": "http://evil", "Host": "gate:8081"}, False),
        ({"Origin": "null", "Host": "gate:8081"}, False),
        ({"Origin": "http://[", "Host": "["}, False),
        ({"Origin": "", "Host": ""}, False),
        ({"Host": "gate:8081"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Host": "gate:8081"}, False),
    ],
)
def test_only_our_own_page_acts(headers: dict[str, str], ours: bool) -> None:  # noqa: FBT001 - a column
    """A page of another site can have a browser send our cookie; it cannot choose these headers."""
    assert is_from_our_page(headers) is ours


def test_names_of_this_machine_are_known() -> None:
    """Another site's name may lead here (DNS rebinding)."""
    assert all(map(is_local, ["localhost", "localhost:8081", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081"]))
    others = ["", "evil.example:8081", "127.0.0.1.evil.example", "10.0.0.1", "[", "192.0.2.1"]
    assert not any(map(is_local, others))
    assert is_loopback("::1")
    assert not is_loopback("")
    assert not is_loopback("0.0.0.0")  # noqa: S104 - looked at
