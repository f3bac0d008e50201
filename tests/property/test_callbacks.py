"""For every POST, decode() returns a callback or raises a refusal, and nothing else."""

import json

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import Refusal
from gateway.core.messages import Callback, SessionEvent
from gateway.core.variables import as_text, keep_number
from gateway.declared.app import App, Markers
from gateway.front.dialects.desk import INTERFACE_INVOCATION, SESSION_EVENT, Verified

OPEN = App(1, (), "off", "error", Markers())


def json_of(floats: st.SearchStrategy[float]) -> st.SearchStrategy[object]:
    """Return what Python can write as JSON with these floats."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | floats | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=12,
    )


json_values = json_of(st.floats())
sound_values = json_of(st.floats(allow_nan=False, allow_infinity=False))
surrogates = st.text(st.characters(), max_size=6) | st.sampled_from(["\ud800", "a\udfff", "\udc00\ud800"])
commands = st.none() | st.just(INTERFACE_INVOCATION) | st.text()


def sound(callback: Callback | SessionEvent) -> Callback | SessionEvent:
    """Return a callback that can be answered: it has a session, and its variables can be encoded."""
    assert callback.session
    assert all(type(text) is str for pair in callback.variables.items() for text in pair)
    assert msgspec.json.decode(msgspec.json.encode(callback.variables)) == callback.variables
    return callback


def decoded(body: bytes, command: str | None = None) -> Callback | SessionEvent | Refusal:
    """Return what a body comes to; any other exception is the test's failure."""
    try:
        callback = Verified(OPEN, command).decode(body, "/")
    except Refusal as raised:
        refusal = raised
    else:
        return sound(callback)
    assert refusal.status in {200, 400}
    assert "\n" not in str(refusal)
    return refusal


def whole(variables: str) -> bytes:
    """Return a callback around the JSON of one variable."""
    start = '{"CallbackCommand": "Chatbot.InterfaceInvocation", "Body": {"SystemSessionID": "s", "x": '
    return f"{start}{variables}}}}}".encode(errors="surrogatepass")


@settings(deadline=None)
@given(st.binary(), commands)
@example(b"", None)
@example(b"\xef\xbb\xbf{}", None)
@example('{"CallbackCommand":"x"}'.encode("utf-16"), None)
@example(b"[" * 100_000, None)
@example(b'{"CallbackCommand":' + b"[" * 100_000, None)
@example(b'{"CallbackCommand":"\xed\xa0\x80"}', None)
def test_any_bytes_are_a_callback_or_a_refusal(body: bytes, command: str | None) -> None:
    """The body is not even signed."""
    decoded(body, command)


@settings(deadline=None)
@given(json_values, commands)
def test_any_json_is_a_callback_or_a_refusal(value: object, command: str | None) -> None:
    """Python writes NaN and Infinity too, which are not JSON."""
    decoded(json.dumps(value).encode(), command)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "CallbackCommand": st.just(INTERFACE_INVOCATION) | json_values,
            "Body": st.dictionaries(st.just("SystemSessionID") | st.text(), json_values) | json_values,
            "EventTime": json_values,
            "extra": json_values,
        },
    ),
    commands,
)
def test_any_envelope_is_a_callback_or_a_refusal(envelope: dict[str, object], command: str | None) -> None:
    """Fields may be missing, of other types, and more than documented."""
    decoded(json.dumps(envelope).encode(), command)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"CallbackCommand": st.just(SESSION_EVENT)},
        optional={
            name: st.text() | json_values for name in ("Event", "SessionId", "ClientUserId", "EventTime")
        },
    ),
    st.none() | st.just(SESSION_EVENT),
)
def test_any_session_event_is_one_or_a_refusal(event: dict[str, object], command: str | None) -> None:
    """Its fields stand beside the command, not in a Body."""
    found = decoded(json.dumps(event).encode(), command)
    if isinstance(found, SessionEvent):
        assert found.session
        assert found.name == event["Event"]
        assert found.variables == {"SystemSessionID": found.session, "SystemClientUserID": found.user}


@settings(deadline=None)
@given(st.dictionaries(st.text(), sound_values, max_size=6), st.text(min_size=1))
def test_a_good_callback_keeps_every_variable_as_text(variables: dict[str, object], session: str) -> None:
    """Conditions and inputs see the variables that the flow sent."""
    variables["SystemSessionID"] = session
    callback = decoded(json.dumps({"CallbackCommand": INTERFACE_INVOCATION, "Body": variables}).encode())
    assert isinstance(callback, Callback)
    assert callback.session == session
    written = json.loads(json.dumps(variables), parse_float=keep_number)
    assert callback.variables == {name: as_text(value) for name, value in written.items()}


@settings(deadline=None)
@given(st.integers(0, 1200), st.sampled_from(["[]", '{"a":}']))
@example(980, "[]")
@example(990, "[]")
@example(994, "[]")
@example(100_000, "[]")
def test_nesting_of_any_depth_is_a_callback_or_a_refusal(depth: int, brackets: str) -> None:
    """The stack ends somewhere near a thousand, in decoding or in encoding again."""
    half = len(brackets) - 1
    decoded(whole(brackets[:half] * depth + "1" + brackets[half:] * depth))


@settings(deadline=None)
@given(surrogates | st.sampled_from([r"\ud800", r"\udfff\ud800", r"\ud83d\ude00", r"\u0000"]))
def test_surrogates_are_a_refusal_or_text(text: str) -> None:
    """A lone one can be written in JSON, and in nothing that comes after it."""
    decoded(whole(f'"{text}"'))
    decoded(whole(json.dumps(text)))
    decoded(
        json.dumps({"CallbackCommand": text, "Body": {text: text, "SystemSessionID": text}}).encode(), text
    )


@settings(deadline=None)
@given(
    st.integers(1, 6000),
    st.sampled_from(["", "-"]),
    st.sampled_from(["", ".5", "e5", "e400", "e-400", "E+99999"]),
)
@example(4300, "", "")
@example(4301, "-", "")
def test_numbers_of_any_size_are_a_callback_or_a_refusal(digits: int, signed: str, tail: str) -> None:
    """Python refuses to print integers of more than 4300 digits."""
    number = f"{signed}{'9' * digits}{tail}"
    decoded(whole(number))
    decoded(
        f'{{"CallbackCommand": "Chatbot.InterfaceInvocation", "Body": {{}}, "EventTime": {number}}}'.encode()
    )
