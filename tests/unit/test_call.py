"""`deskgate call` plays Desk: what it sends is what the platform documents, what it shows is what came."""

import hashlib
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import Code
from gateway.declared.app import App, Markers
from gateway.front.dialects.desk import DESK
from gateway.tools.call import CallFailed, Envelope, OutgoingCallback, ReceivedReply, print_reply
from gateway.tools.presentation import MEANINGS, meaning

NOW = 1731488371.784
SYSTEM = {"SystemClientUserID": "user517", "SystemSessionID": "207cac25-f49e-4ada-9c9f-301cea31dcf2"}
SAMPLE = {
    "CallbackCommand": "Chatbot.InterfaceInvocation",
    "Body": {**SYSTEM, "staticKey": "staticValue", "testKey3": ""},
    "EventTime": 1731488371784,
}
SAMPLE_QUERY = (
    "SdkAppid=1400000001&CallbackCommand=Chatbot.InterfaceInvocation&contenttype=json"
    "&ClientIP=127.0.0.1&OptPlatform=Web"
)


def call_to(
    url: str = "http://127.0.0.1:8080/", token: str | None = None, **variables: str
) -> OutgoingCallback:
    """Return a callback of the documented session."""
    return OutgoingCallback(
        url, 1400000001, token, SYSTEM["SystemSessionID"], SYSTEM["SystemClientUserID"], variables
    )


def received(
    code: int, status: int = 200, info: str = "", variables: Mapping[str, str] | None = None
) -> ReceivedReply:
    """Return a reply as it came."""
    reply = Envelope("FAIL" if code else "OK", info, code, dict(variables or {}))
    return ReceivedReply(reply, b'{"as": "it came"}', status, 0.123)


def test_documented_sample_is_sent_as_it_stands() -> None:
    """A flow that is tried by hand must not be answered better or worse than Desk."""
    call = call_to(staticKey="staticValue", testKey3="")
    assert json.loads(call.body(NOW)) == SAMPLE
    assert call.address(NOW).raw_query_string == SAMPLE_QUERY


def test_callback_is_signed_as_documented() -> None:
    """The vector of the platform's documentation: the app's token and the time, hashed."""
    query = call_to(token="xxxxyyyy").address(1669872112.9).query
    assert query["RequestTime"] == "1669872112"
    assert query["Sign"] == hashlib.sha256(b"xxxxyyyy1669872112").hexdigest()


@pytest.mark.parametrize("token", [None, ""])
def test_callback_without_a_token_is_not_signed(token: str | None) -> None:
    """An empty DESK_TOKEN means no token, not an empty one."""
    assert call_to(token=token).address(NOW).raw_query_string == SAMPLE_QUERY


def test_query_of_the_address_is_kept() -> None:
    """A node's URL may have a query of its own; Desk adds to it."""
    address = call_to("https://desk.example.com:8443/a%20b?x=1&x=2&y=%26#part").address(NOW)
    assert (address.host, address.port, address.raw_path) == ("desk.example.com", 8443, "/a%20b")
    assert list(address.query.items())[:3] == [("x", "1"), ("x", "2"), ("y", "&")]
    assert address.raw_query_string.endswith(SAMPLE_QUERY)
    assert address.fragment == ""


@pytest.mark.parametrize(
    "url", ["", "nonsense", "localhost:8080", "ftp://a/", "http://", "http://a:99999/", "//a/"]
)
def test_no_address_says_what_one_looks_like(url: str) -> None:
    """The most common slip is a scheme left out."""
    with pytest.raises(CallFailed, match="write for example http://127"):
        call_to(url).address(NOW)


@pytest.mark.parametrize("url", ["htp://me:hunter2@a/", "me:hunter2@a:80", "http://me:hunter2@a:99999/"])
def test_password_in_a_wrong_address_is_not_shown(url: str) -> None:
    """Terminals are recorded, and shown to others."""
    with pytest.raises(CallFailed) as caught:
        call_to(url).address(NOW)
    assert "hunter2" not in str(caught.value)
    assert "a" in str(caught.value)


def test_reply_cannot_speak_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A backend's value may hold what sets the window's title, or clears the screen."""
    print_reply(
        received(0, info="\x1b]0;owned\x07", variables={"a\x1b[2J": "b\x9b2J\r\u202e 客"}), as_json=False
    )
    shown = capsys.readouterr().out
    assert {one for one in shown if not one.isprintable()} == {"\n"}
    assert "客" in shown


@given(st.text(min_size=1), st.text(), st.dictionaries(st.text(), st.text()), st.text(min_size=1))
def test_gateway_reads_what_call_sends(
    session: str, user: str, variables: dict[str, str], token: str
) -> None:
    """Every session, variable and token arrives whole, and the signature holds."""
    call = OutgoingCallback("http://127.0.0.1/x", 7, token, session, user, {**variables, "last": "1"})
    app = App(7, (token,), "required", "error", Markers())
    verified = DESK.verify(call.address(NOW).raw_query_string, {7: app}, NOW)
    callback = verified.decode(call.body(NOW), "/x")
    sent = {"SystemSessionID": session, "SystemClientUserID": user, **variables, "last": "1"}
    assert callback.variables == sent
    assert (callback.session, callback.user) == (sent["SystemSessionID"], sent["SystemClientUserID"])
    assert dict(parse_qsl(call.address(NOW).raw_query_string))["RequestTime"] == "1731488371"


def test_every_code_has_a_meaning() -> None:
    """A number alone sends its reader to the documentation."""
    assert set(MEANINGS) == set(Code)
    assert meaning(42) == ""


def test_json_is_the_reply_as_it_came(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """For programs: nothing added, nothing taken away."""
    print_reply(received(0, variables={"a": "b"}), as_json=True)
    assert capsysbinary.readouterr().out == b'{"as": "it came"}\n'


def test_reply_is_shown_with_the_meaning_of_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Code, name, meaning, the line for people, the time, and each variable."""
    print_reply(
        received(120001, info="order: TIMEOUT, fallback", variables={"status": "[red]"}), as_json=False
    )
    shown = capsys.readouterr().out
    for text in (
        "120001 TIMEOUT",
        MEANINGS[Code.TIMEOUT],
        "order: TIMEOUT, fallback",
        "123 ms of 2000 ms",
        "[red]",
    ):
        assert text in shown
    assert "\x1b" not in shown
    assert "HTTP" not in shown


def test_failed_callback_is_shown_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Desk goes by the HTTP status, too; and another server's code is not given a name."""
    print_reply(received(70001, status=401), as_json=False)
    shown = capsys.readouterr().out
    assert "70001 not a code of deskgate" in shown
    assert "HTTP 401" in shown
