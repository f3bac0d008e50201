"""The Desk dialect: the only file of a gateway that knows Tencent's field names.

Facts from Tencent Cloud's public documentation: the "API Call" node (tencentcloud.com 1229/68990, field names
and reply), the webhook overview (trtc.io 34354) and callback configuration (cloud.tencent.com 269/32431:
``Sign``, ``RequestTime``, the 60 s window).
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from gateway.core.errors import BadRequest, Code, Unauthenticated, UnknownApp, UnknownCommand
from gateway.core.messages import Callback, Reply, SessionEvent
from gateway.core.variables import as_text, keep_number
from gateway.declared.app import App

INTERFACE_INVOCATION = "Chatbot.InterfaceInvocation"
SESSION_EVENT = "Desk.SessionEventNotify"
SIBLINGS = frozenset(
    {
        "Chatbot.TaskFlowEventNotify",
        "ChatBot.OnAssignHuman",
        "Chatbot.OnC2CSignalMessage",
        "Bot.OnC2CMessage",
        "Bot.OnGroupMessage",
    }
)
"""Further callbacks that Desk may send to the same address. They expect the reply of a session event."""

SESSION, USER = "SystemSessionID", "SystemClientUserID"

SIGNATURE_WINDOW = 60.0
"""Seconds by which ``RequestTime`` may differ from now, either way."""

_MOST_QUERY_NAMES = 64
_MOST_DIGITS = 19
_UNIX_SECONDS = re.compile(r"0|[1-9]\d{0,11}", re.ASCII)
"""No zero in front: with one, the end of a token could be read as the beginning of a time."""

_HALF = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(
    rb"(?<!\\)(?P<before>(?:\\\\)*)"
    rb"(?:(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""A pair, or half of one, behind an even number of backslashes: behind an odd one it is no escape."""

_LOST = "\ufffd"


class _Wire(msgspec.Struct):
    """A callback's body. Other fields are accepted and ignored."""

    CallbackCommand: str
    Body: Any = None


class _EventWire(msgspec.Struct):
    """An event's body. Other fields are accepted and ignored; ids and times are texts or numbers."""

    Event: Any = None
    SessionId: Any = None
    ClientUserId: Any = None
    EventTime: Any = None


class _Envelope(msgspec.Struct):
    """A reply; the order of the fields is that of the documentation."""

    ActionStatus: str
    ErrorInfo: str
    ErrorCode: int
    Body: Mapping[str, str] | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Wire, float_hook=keep_number)
_events = msgspec.json.Decoder(_EventWire, float_hook=keep_number)
_encoder = msgspec.json.Encoder()
_ACKNOWLEDGED = _encoder.encode(_Envelope("OK", "", 0))


class Verified(msgspec.Struct, frozen=True):
    """A query whose app is known and whose signature holds. Only :meth:`Desk.verify` makes one."""

    app: App
    command: str | None
    request_id: str = ""

    def decode(self, body: bytes, path: str) -> Callback | SessionEvent:
        """Return the callback or session event that ``body`` holds; raise BadRequest or UnknownCommand.

        Half a surrogate pair, as a nickname that was cut may have it, becomes U+FFFD.
        """
        try:
            return self._decode(body, path)
        except BadRequest:
            mended = _mend(body)
            if mended == body:
                raise
        decoded = self._decode(mended, path)
        if _LOST in decoded.session + decoded.user:
            msg = "the id of the session or user is not Unicode"
            raise BadRequest(msg)
        return decoded

    def _decode(self, body: bytes, path: str) -> Callback | SessionEvent:
        try:
            wire = _decoder.decode(body)
            command = wire.CallbackCommand
            if self.command is not None and self.command != command:
                msg = "CallbackCommand differs between query and body"
                raise BadRequest(msg)
            if command == SESSION_EVENT or command in SIBLINGS:
                return _event(_events.decode(body), command, self.app.id, self.request_id)
            if command != INTERFACE_INVOCATION:
                msg = f"this CallbackCommand is not handled; {INTERFACE_INVOCATION} and session events are"
                raise UnknownCommand(msg)
            if not isinstance(wire.Body, dict):
                msg = "Body is missing or not an object"
                raise BadRequest(msg)
            variables = {name: as_text(value) for name, value in wire.Body.items()}
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
            msg = f"the body is not a callback: {_reason(error)}"
            raise BadRequest(msg) from None
        session = variables.get(SESSION)
        if not session:
            msg = f"Body has no {SESSION}; add it to the node's input parameters"
            raise BadRequest(msg)
        return Callback(self.app.id, session, variables.get(USER, ""), path, variables)


class Desk:
    """The dialect of Tencent Cloud Desk; its methods do as :class:`.dialect.Dialect` says."""

    patience = 2.0  # "API Call" node, 1229/68990
    event_variables = (SESSION, USER)

    def verify(self, query: str, apps: Mapping[int, App], now: float) -> Verified:
        """Return the verified query; raise BadRequest, UnknownApp or Unauthenticated."""
        names = _parse_query(query)
        number = names.get("sdkappid", "")
        plain = number.isascii() and number.isdecimal() and number[0] != "0" and len(number) <= _MOST_DIGITS
        app = apps.get(int(number)) if plain else None
        if app is None:
            msg = "SdkAppid is not one of [apps]" if number else "the query has no SdkAppid"
            if not number and "?" in query:
                msg += "; it has a second '?', where an '&' belongs"
            raise UnknownApp(msg)
        given, request_time = names.get("sign"), names.get("requesttime")
        if app.signature == "required" or (app.signature == "optional" and (given or request_time)):
            _check_signature(app.tokens, given or "", request_time or "", now)
        return Verified(app, names.get("callbackcommand"), names.get("requestid", ""))

    def encode(self, reply: Reply) -> bytes:
        """Return the JSON of a reply with variables."""
        status = "OK" if reply.code == 0 else "FAIL"
        return _encoder.encode(_Envelope(status, reply.info, int(reply.code), reply.variables))

    def acknowledge(self) -> bytes:
        """Return the JSON of the reply to a session event."""
        return _ACKNOWLEDGED

    def refuse(self, code: Code, info: str) -> bytes:
        """Return the JSON of a reply without variables."""
        return _encoder.encode(_Envelope("FAIL", info, int(code)))


DESK = Desk()


@lru_cache(maxsize=1024)  # the time changes once a second, so callbacks share the digest
def sign(token: str, request_time: str) -> str:
    """Return ``Sign`` for a token and a ``RequestTime`` (Unix seconds as text): SHA-256 of both, in hex."""
    return hashlib.sha256((token + request_time).encode()).hexdigest()


def _event(wire: _EventWire, command: str, app: int, request_id: str) -> SessionEvent:
    """Return a session event (1229/68989), or a sibling of it; raise BadRequest.

    Its variables have the names that they have in a callback of the same session. A retry of the event has
    the same ``RequestID``, or at least the same session, name and time. A sibling without a name of its own
    has its command's, and may be of no session.
    """
    session, user, at = _id(wire.SessionId), _id(wire.ClientUserId), _id(wire.EventTime)
    name = wire.Event if isinstance(wire.Event, str) else ""
    name = name or ("" if command == SESSION_EVENT else command)
    if not name or (command == SESSION_EVENT and not session):
        msg = "Event or SessionId is empty"
        raise BadRequest(msg)
    marks = [f"{app}/{request_id}"] if request_id else []
    if session and at:
        marks.append(f"{app}/{session}/{name}/{at}")
    variables = {SESSION: session, USER: user}
    return SessionEvent(app, session, user, name, variables, tuple(marks))


def _id(value: object) -> str:
    """Return an id or a time, quoted or not, as text; ``""`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    try:
        return as_text(value)
    except ValueError:  # an integer of thousands of digits
        return ""


def _mend(body: bytes) -> bytes:
    """Return ``body`` with U+FFFD for each half of a surrogate pair, escaped or not."""
    try:
        text = body.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return body
    raw = _HALF.sub(_LOST, text).encode()
    return _ESCAPED.sub(lambda found: found[0] if found["pair"] else found["before"] + rb"\ufffd", raw)


def _parse_query(query: str) -> dict[str, str]:
    """Return the query by lower-case name (pages differ in ``SdkAppid``); raise BadRequest."""
    pairs = query.split("&", _MOST_QUERY_NAMES)
    if len(pairs) > _MOST_QUERY_NAMES:
        msg = "the query has too many names"
        raise BadRequest(msg)
    named = [pair.partition("=") for pair in pairs if pair]
    if "%" in query or "+" in query:
        named = [(_unquote(name), "=", _unquote(value)) for name, _, value in named]
    names: dict[str, str] = {}
    for name, _, value in named:
        if names.setdefault(name.lower(), value) != value:
            msg = "a name stands in the query twice, with two values"
            raise BadRequest(msg)
    return names


def _unquote(text: str) -> str:
    """Decode one name or value of a query (WHATWG URL, 5.1). Most need no decoding."""
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        msg = "the query is not UTF-8"
        raise BadRequest(msg) from None


def _check_signature(tokens: tuple[str, ...], given: str, request_time: str, now: float) -> None:
    if not given or not request_time:
        msg = "Sign and RequestTime are required"
        raise Unauthenticated(msg)
    if not _UNIX_SECONDS.fullmatch(request_time) or abs(now - int(request_time)) > SIGNATURE_WINDOW:
        msg = "RequestTime is more than 60 s from now, or not a time"
        raise Unauthenticated(msg)
    presented = given.lower().encode(errors="surrogatepass")
    # Try every token, even after a match: then the time taken does not show which token is right.
    matches = [hmac.compare_digest(sign(t, request_time).encode(), presented) for t in tokens]
    if not any(matches):
        msg = "Sign does not match any token of this app"
        raise Unauthenticated(msg)


def _reason(error: Exception) -> str:
    """Return why a body cannot be decoded, without its values."""
    if isinstance(error, UnicodeError):
        return "not UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)
