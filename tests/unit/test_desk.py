"""The Desk dialect: who may call, what a callback says, and what goes back."""

import json

import pytest

from gateway.core.errors import BadRequest, Code, Refusal, Unauthenticated, UnknownApp, UnknownCommand
from gateway.core.messages import Callback, Reply, SessionEvent
from gateway.declared.app import App, Markers
from gateway.front.dialects.desk import DESK, SESSION_EVENT, SIBLINGS, Verified, sign

NOW = 1_669_872_112.0
SIGN = "17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061"
APP = 1400000001
OPEN = App(APP, (), "off", "error", Markers())
VERIFIED = Verified(OPEN, None)

SAMPLE_QUERY = (
    "SdkAppid=1400000001&CallbackCommand=Chatbot.InterfaceInvocation&contenttype=json"
    "&ClientIP=127.0.0.1&OptPlatform=Web"
)
SAMPLE = b"""{"CallbackCommand": "Chatbot.InterfaceInvocation",
 "Body": {"SystemClientUserID": "user517",
          "SystemSessionID": "207cac25-f49e-4ada-9c9f-301cea31dcf2",
          "staticKey": "staticValue",
          "testKey3": ""},
 "EventTime": 1731488371784}"""


def app(signature: str = "required", *tokens: str) -> dict[int, App]:
    """Return the one app that may call."""
    return {APP: App(APP, tokens or ("xxxxyyyy",), signature, "error", Markers())}  # type: ignore[arg-type]


def signed(signature: str = SIGN, request_time: str = "1669872112") -> str:
    """Return a query with these two."""
    return f"SdkAppid={APP}&Sign={signature}&RequestTime={request_time}"


def body(variables: object = None, **fields: object) -> bytes:
    """Return a callback with these variables, some of its fields replaced."""
    whole = {"CallbackCommand": "Chatbot.InterfaceInvocation", "Body": variables or {"SystemSessionID": "s1"}}
    return json.dumps(whole | fields).encode()


def test_the_documented_signature() -> None:
    """The platform's own vector: SHA-256 of token and time, in lower-case hex."""
    assert sign("xxxxyyyy", "1669872112") == SIGN
    assert DESK.verify(signed(), app(), NOW).app.id == APP


@pytest.mark.parametrize("off", [0.0, 59.0, 60.0, -60.0, -59.999])
def test_a_signature_holds_for_sixty_seconds_either_way(off: float) -> None:
    """Clocks differ; the platform's documentation allows a minute."""
    DESK.verify(signed(), app(), NOW + off)


@pytest.mark.parametrize("off", [60.001, 61.0, -60.001, -61.0, 1e9, -1e9])
def test_a_signature_is_refused_beyond_the_window(off: float) -> None:
    """A captured pair of Sign and RequestTime opens the door until then, and no longer."""
    with pytest.raises(Unauthenticated, match="60 s"):
        DESK.verify(signed(), app(), NOW + off)


@pytest.mark.parametrize("token", ["newest", "xxxxyyyy", "oldest"])
def test_any_token_of_the_app_signs(token: str) -> None:
    """While a token is rotated, Desk and deskgate change at different moments."""
    apps = app("required", "newest", "xxxxyyyy", "oldest")
    DESK.verify(signed(sign(token, "1669872112")), apps, NOW)
    with pytest.raises(Unauthenticated):
        DESK.verify(signed(sign("another", "1669872112")), apps, NOW)


WRONG = {
    "cut off": SIGN[:-1],
    "one more": SIGN + "0",
    "empty": "",
    "blank": "+",
    "not ASCII": "%C3%A9" * 64,
    "huge": "a" * 100_000,
    "of another time": sign("xxxxyyyy", "1669872113"),
    "of another token": sign("xxxxyyyz", "1669872112"),
    "of the empty token": sign("", "1669872112"),
    "NUL": SIGN + "%00",
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("signature", ["required", "optional"])
def test_a_wrong_signature_is_unauthenticated(kind: str, signature: str) -> None:
    """It may look like anything: a 500 would show an attacker where to dig."""
    with pytest.raises(Unauthenticated):
        DESK.verify(signed(WRONG[kind]), app(signature), NOW)


@pytest.mark.parametrize(
    "request_time",
    [
        *(
            "",
            "0",
            "now",
            "-1669872112",
            "%2B1669872112",
            "1669872112.0",
            "16_69872112",
            "1e9",
            "+1669872112",
        ),
        *("%D9%A1%D9%A6%D9%A6%D9%A9%D9%A8%D9%A7%D9%A2%D9%A1", "9" * 13, "9" * 100_000, "1669872112%00"),
    ],
    ids=lambda text: text[:24],
)
def test_a_time_that_is_no_unix_time_is_unauthenticated(request_time: str) -> None:
    """Even when it is signed: Python reads more as a number than the platform writes."""
    with pytest.raises(Unauthenticated):
        DESK.verify(signed(sign("xxxxyyyy", request_time), request_time), app(), NOW)


@pytest.mark.parametrize("query", ["", "&Sign=", "&RequestTime=", "&Sign=&RequestTime=", f"&Sign={SIGN}"])
def test_required_means_that_both_are_there(query: str) -> None:
    """An unsigned callback to an app with a token is not from Desk."""
    with pytest.raises(Unauthenticated):
        DESK.verify(f"SdkAppid={APP}{query}", app("required"), NOW)


def test_optional_checks_what_is_there_and_takes_what_is_not() -> None:
    """Nobody documents whether the node signs: this setting finds out without an outage."""
    DESK.verify(f"SdkAppid={APP}", app("optional"), NOW)
    DESK.verify(signed(), app("optional"), NOW)
    for half in (f"&Sign={SIGN}", "&RequestTime=1669872112", "&Sign=x&RequestTime=1669872112"):
        with pytest.raises(Unauthenticated):
            DESK.verify(f"SdkAppid={APP}{half}", app("optional"), NOW)


@pytest.mark.parametrize("query", ["", "&Sign=x&RequestTime=y", f"&Sign={SIGN}&RequestTime=1"])
def test_off_looks_at_no_signature(query: str) -> None:
    """A proxy in front may have checked it."""
    assert DESK.verify(f"SdkAppid={APP}{query}", app("off"), NOW).app.id == APP


def test_the_documented_sample() -> None:
    """Query and body as the platform prints them."""
    verified = DESK.verify(SAMPLE_QUERY, {APP: OPEN}, NOW)
    assert verified == Verified(OPEN, "Chatbot.InterfaceInvocation")
    assert verified.decode(SAMPLE, "/order") == Callback(
        APP,
        "207cac25-f49e-4ada-9c9f-301cea31dcf2",
        "user517",
        "/order",
        {
            "SystemClientUserID": "user517",
            "SystemSessionID": "207cac25-f49e-4ada-9c9f-301cea31dcf2",
            "staticKey": "staticValue",
            "testKey3": "",
        },
    )


@pytest.mark.parametrize("name", ["SdkAppid", "SdkAppId", "sdkappid", "SDKAPPID", "%53dkAppid"])
def test_the_name_of_the_app_is_spelled_in_any_case(name: str) -> None:
    """The platform's own pages differ."""
    assert DESK.verify(f"{name}={APP}", {APP: OPEN}, NOW).app is OPEN


@pytest.mark.parametrize(
    "query",
    [
        *("", "SdkAppid", "SdkAppid=", "SdkAppid=1", "SdkAppid=01400000001", "SdkAppid=1400000001.0"),
        *(
            "AppId=1400000001",
            "SdkAppid=+1400000001",
            "SdkAppid=1400000001+",
            "SdkAppid=%D9%A1",
            "SdkAppid=-1",
        ),
        "SdkAppid=" + "9" * 100_000,
    ],
    ids=lambda text: text[:24],
)
def test_any_other_app_is_unknown(query: str) -> None:
    """The server must check that SdkAppid is its own."""
    with pytest.raises(UnknownApp):
        DESK.verify(query, {APP: OPEN}, NOW)


@pytest.mark.parametrize(
    "query",
    ["&SdkAppid=1", "&sdkappid=", "&Sign=a&Sign=b", "&Sign=a&sign=A", "&x=%FF", "&a=" * 65],
)
def test_a_query_that_can_be_read_in_two_ways_is_a_bad_request(query: str) -> None:
    """A proxy may have looked at the other one of the two."""
    with pytest.raises(BadRequest):
        DESK.verify(f"SdkAppid={APP}{query}", {APP: OPEN}, NOW)


def test_a_name_that_stands_twice_with_one_value_is_read_once() -> None:
    """An address with the app's number, to which Desk adds it once more."""
    assert DESK.verify(f"SdkAppid={APP}&x=1&sdkappid={APP}&x=1", {APP: OPEN}, NOW).app is OPEN


def test_a_second_question_mark_is_named() -> None:
    """``https://gateway/desk?env=prod`` with Desk's own query behind it."""
    with pytest.raises(UnknownApp, match="second '\\?'"):
        DESK.verify(f"env=prod?SdkAppid={APP}", {APP: OPEN}, NOW)


def test_the_case_of_a_signature_does_not_matter() -> None:
    """Hex is hex; pages differ in how they print it."""
    assert DESK.verify(signed(SIGN.upper()), app(), NOW).app.id == APP


def test_no_signature_of_one_app_passes_for_another() -> None:
    """``abc`` with the time 0169… and ``abc0`` with 169… are one text to the digest."""
    theirs = sign("abc", "01669872112")
    assert theirs == sign("abc0", "1669872112")
    with pytest.raises(Unauthenticated, match="not a time"):
        DESK.verify(signed(theirs, "01669872112"), app("required", "abc"), NOW)


@pytest.mark.parametrize("time", ["1731488371784", "", [], {}, True, None, 1.5, "soon"], ids=repr)
def test_a_time_that_nothing_needs_is_not_judged(time: object) -> None:
    """Desk's own samples quote it; no reply depends on it."""
    assert VERIFIED.decode(body(EventTime=time), "/").session == "s1"
    event = {"CallbackCommand": SESSION_EVENT, "Event": "E", "SessionId": 77, "EventTime": time}
    assert VERIFIED.decode(json.dumps(event).encode(), "/").session == "77"


def test_a_quoted_and_a_plain_time_are_one_event() -> None:
    """A retry may come by another way."""
    event = {"CallbackCommand": SESSION_EVENT, "Event": "E", "SessionId": 77, "EventTime": 1731488371784}
    quoted = {**event, "SessionId": "77", "EventTime": "1731488371784"}
    first, second = (VERIFIED.decode(json.dumps(one).encode(), "/") for one in (event, quoted))
    assert isinstance(first, SessionEvent)
    assert first == second
    assert first.marks


@pytest.mark.parametrize("command", sorted(SIBLINGS))
def test_a_sibling_is_an_event_by_its_own_name_or_its_commands(command: str) -> None:
    """The flow's events, transfers and messages reach the same address."""
    plain = VERIFIED.decode(json.dumps({"CallbackCommand": command, "MsgBody": [1]}).encode(), "/")
    assert isinstance(plain, SessionEvent)
    assert (plain.name, plain.session, plain.marks) == (command, "", ())
    named = {"CallbackCommand": command, "Event": "Task.Ended", "SessionId": "s1", "ClientUserId": "u1"}
    event = VERIFIED.decode(json.dumps(named).encode(), "/")
    assert isinstance(event, SessionEvent)
    assert (event.name, event.session, event.user) == ("Task.Ended", "s1", "u1")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"Lin \ud83d", "Lin \ufffd"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"\ud83d\ude00\ud83d", "\U0001f600\ufffd"),
        (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (rb"\ud83d" * 3 + rb"\\\ud83d", "\ufffd\ufffd\ufffd\\\ufffd"),
        ("Zoë \ud83d".encode(errors="surrogatepass"), "Zoë \ufffd"),
    ],
)
def test_half_a_pair_costs_that_character(written: bytes, read: str) -> None:
    """A nickname that was cut inside an emoji is no reason to leave the customer without a reply."""
    data = body({"SystemSessionID": "s1", "nick": "NICK"}).replace(b"NICK", written)
    assert VERIFIED.decode(data, "/").variables["nick"] == read


@pytest.mark.parametrize("name", ["SystemSessionID", "SystemClientUserID"])
def test_half_a_pair_in_an_id_is_a_bad_request(name: str) -> None:
    """Two ids that differ in that character alone would be one: somebody else's records."""
    data = body({"SystemSessionID": "s1", name: "ID"}).replace(b'"ID"', rb'"u\ud83d"')
    with pytest.raises(BadRequest, match="not Unicode"):
        VERIFIED.decode(data, "/")


def test_another_charset_is_not_mended() -> None:
    """Replaced characters would ask for somebody else's order."""
    with pytest.raises(BadRequest):
        VERIFIED.decode(body({"SystemSessionID": "s1", "n": "X"}).replace(b"X", "客户".encode("gbk")), "/")


def test_a_number_arrives_as_it_was_written() -> None:
    """An order's number of twenty digits is no float."""
    data = body({"SystemSessionID": "s1", "n": 7}).replace(b": 7", b': 12345678901234567890123, "m": 29.90')
    variables = VERIFIED.decode(data, "/").variables
    assert (variables["n"], variables["m"]) == ("12345678901234567890123", "29.90")


def test_unknown_names_in_query_and_body_are_accepted() -> None:
    """The platform adds fields without notice."""
    DESK.verify(f"&&SdkAppid={APP}&new=1&another&=&OptPlatform=Toaster", {APP: OPEN}, NOW)
    assert VERIFIED.decode(body(New={"deep": [1]}, EventTime=None), "/").session == "s1"
    assert VERIFIED.decode(body(EventTime=1.5), "/").user == ""


def test_values_that_are_no_strings_are_read_as_variables() -> None:
    """A flow may hold numbers; conditions and inputs compare strings."""
    values = {"SystemSessionID": 7, "n": 10, "t": True, "z": None, "l": [1, "a"], "o": {"a": 1.5}}
    callback = VERIFIED.decode(body(values), "/")
    assert callback.session == "7"
    assert callback.variables == {
        "SystemSessionID": "7",
        "n": "10",
        "t": "true",
        "z": "",
        "l": '[1,"a"]',
        "o": '{"a":1.5}',
    }


@pytest.mark.parametrize("session", ["", None])
def test_a_callback_without_a_session_says_what_to_do(session: object) -> None:
    """The flow's author has to add it to the node; the message is for him."""
    for variables in ({"SystemSessionID": session}, {"staticKey": "x"}, {"systemsessionid": "s"}):
        with pytest.raises(BadRequest, match="input parameters"):
            VERIFIED.decode(body(variables), "/")


@pytest.mark.parametrize(
    "command", ["Desk.sessioneventnotify", "Chatbot.OnAssignHuman", "chatbot.interfaceinvocation", ""]
)
def test_another_command_is_unknown(command: str) -> None:
    """Other callbacks reach the same URL; none of them may be taken for this one."""
    with pytest.raises(UnknownCommand):
        VERIFIED.decode(body(CallbackCommand=command), "/")


@pytest.mark.parametrize("command", ["Desk.SessionEventNotify", "", "chatbot.interfaceinvocation"])
def test_a_command_that_differs_from_the_querys_is_a_bad_request(command: str) -> None:
    """The body is not signed; the query was what a proxy routed by."""
    with pytest.raises(BadRequest, match="differs"):
        Verified(OPEN, command).decode(body(), "/")


@pytest.mark.parametrize(
    "data", [b'{"Body": {"SystemSessionID": 5550123', body("secret-5550123"), body([5550123])]
)
def test_a_refusal_repeats_nothing_of_the_body(data: bytes) -> None:
    """ErrorInfo is stored in logs; the body is a user's."""
    with pytest.raises(Refusal) as caught:
        VERIFIED.decode(data, "/")
    assert "5550123" not in str(caught.value)


def test_the_documented_reply() -> None:
    """Field by field, in the order of the documentation; ten is ``"10"``."""
    reply = Reply(Code.OK, "", {"testKey1": "value1", "testKey3": "10"})
    assert DESK.encode(reply) == (
        b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"Body":{"testKey1":"value1","testKey3":"10"}}'
    )


def test_a_reply_with_a_code_fails_and_still_has_its_variables() -> None:
    """Whether the platform applies them is unknown; that they are there is our part."""
    reply = Reply(Code.TIMEOUT, "order: TIMEOUT, fallback", {"order_status": "unknown"})
    assert json.loads(DESK.encode(reply)) == {
        "ActionStatus": "FAIL",
        "ErrorInfo": "order: TIMEOUT, fallback",
        "ErrorCode": 120001,
        "Body": {"order_status": "unknown"},
    }


def test_a_refusal_has_no_body() -> None:
    """No variable of a session may change because of a bad callback."""
    assert json.loads(DESK.refuse(Code.UNAUTHENTICATED, "no")) == {
        "ActionStatus": "FAIL",
        "ErrorInfo": "no",
        "ErrorCode": 120101,
    }
