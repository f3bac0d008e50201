"""A signature opens the door for its token and its minute; whatever else comes is refused."""

import hashlib
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadRequest, Refusal, Unauthenticated
from gateway.declared.app import App, Markers
from gateway.front.dialects import desk
from gateway.front.dialects.desk import DESK, SIGNATURE_WINDOW, sign

APP = 1400000001

tokens = st.text(min_size=1, max_size=20)
times = st.integers(0, 999_999_999_999)


def apps(signature: str, *tokens: str) -> dict[int, App]:
    """Return the one app that may call."""
    return {APP: App(APP, tokens, signature, "error", Markers())}  # type: ignore[arg-type]


def query(**names: object) -> str:
    """Return a query of the app."""
    return urlencode({"SdkAppid": APP, **names})


@settings(deadline=None)
@given(tokens, times)
def test_a_signature_is_the_digest_of_token_and_time(token: str, time: int) -> None:
    """With no separator, in lower-case hex, as documented."""
    assert sign(token, str(time)) == hashlib.sha256(f"{token}{time}".encode()).hexdigest()


@settings(deadline=None)
@given(st.lists(tokens, min_size=1, max_size=4), times, st.floats(-120, 120), st.data())
@example(["t"], 1_669_872_112, 60.0, None)
@example(["t"], 1_669_872_112, -60.0, None)
def test_the_right_signature_opens_within_the_window_alone(
    held: list[str], time: int, off: float, data: st.DataObject | None
) -> None:
    """Whichever of the tokens signed."""
    token = data.draw(st.sampled_from(held)) if data is not None else held[0]
    text, now = query(Sign=sign(token, str(time)), RequestTime=time), time + off
    for signature in ("required", "optional"):
        if abs(now - time) <= SIGNATURE_WINDOW:
            assert DESK.verify(text, apps(signature, *held), now).app.tokens == tuple(held)
        else:
            with pytest.raises(Unauthenticated):
                DESK.verify(text, apps(signature, *held), now)
    DESK.verify(text, apps("off", *held), now)


@settings(deadline=None)
@given(st.lists(tokens, max_size=3), st.text(), st.one_of(times.map(str), st.text()), st.floats(0, 1e12))
@example(["t"], "\0" * 100_000, "1", 1.0)
@example([], hashlib.sha256(b"1").hexdigest(), "1", 1.0)
@example(["t"], "K", "\u0661", 1.0)
def test_any_other_signature_is_unauthenticated(held: list[str], given: str, time: str, now: float) -> None:
    """Nothing that can be written into a query passes, and nothing makes the check itself fail."""
    if given in {sign(token, time) for token in held}:
        return
    with pytest.raises(Unauthenticated):
        DESK.verify(query(Sign=given, RequestTime=time), apps("required", *held), now)


names = st.sampled_from(
    ["SdkAppid", "sdkappid", "Sign", "SIGN", "RequestTime", "CallbackCommand", "x", "X", ""]
)
parts = (
    names | st.text(max_size=5).map(lambda text: quote(text, safe="")) | st.text(st.characters(codec="ascii"))
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(parts, st.sampled_from(["=", "", "=="]), parts | st.just(str(APP))), max_size=6),
    st.sampled_from(["required", "optional", "off"]),
)
@example([("SdkAppid", "=", str(APP)), ("x", "=", "%FF")], "off")
@example([("SdkAppid", "=", str(APP)), ("x", "=", "%ED%A0%80")], "off")
def test_any_query_is_verified_or_refused(pairs: list[tuple[str, str, str]], signature: str) -> None:
    """The query is the first thing that a stranger can choose."""
    text = "&".join(map("".join, pairs))
    try:
        verified = DESK.verify(text, apps(signature, "token"), 1.0)
    except Refusal as raised:
        refusal = raised
    else:
        assert verified.app.id == APP
        return
    assert refusal.status in {400, 401, 403}
    assert "\n" not in str(refusal)


@settings(deadline=None)
@given(st.lists(parts, max_size=6).map("&".join) | st.text(st.sampled_from("&=+%;aA2 é\0"), max_size=20))
@example("&" * 64)
@example("a&" * 65)
@example("=&a==b&%41=+%2B")
def test_a_query_is_read_as_the_standard_library_reads_it(query: str) -> None:
    """Two readers that differ in one character are how a check is talked past."""
    try:
        wanted = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=64)
    except ValueError:
        wanted = [("", "one"), ("", "another")]
    read = {name.lower(): value for name, value in wanted}
    if all(read[name.lower()] == value for name, value in wanted):
        assert desk._parse_query(query) == read
    else:
        with pytest.raises(BadRequest):
            desk._parse_query(query)


@settings(deadline=None)
@given(
    st.sampled_from(["SdkAppid", "Sign", "RequestTime", "CallbackCommand"]),
    st.integers(0, 2**15 - 1),
    st.lists(st.text(max_size=4), min_size=2, max_size=2, unique=True),
)
def test_a_name_given_two_values_is_refused_in_whatever_case(
    name: str, capitals: int, values: list[str]
) -> None:
    """Which of the two counts is a matter of who reads; so neither does."""
    other = "".join(a.upper() if capitals >> n & 1 else a.lower() for n, a in enumerate(name))
    text = urlencode([("SdkAppid", APP), (name, values[0]), (other, values[1])])
    with pytest.raises(BadRequest):
        DESK.verify(text, apps("off"), 1.0)


@settings(deadline=None)
@given(st.binary(min_size=1).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
@example("\udcff")
def test_raw_bytes_in_the_query_are_a_refusal(raw: str) -> None:
    """The parser of aiohttp that is written in Python hands bytes on as lone surrogates."""
    with pytest.raises(Refusal):
        DESK.verify(f"SdkAppid={APP}&RequestTime=1&Sign={raw}", apps("required", "token"), 1.0)
