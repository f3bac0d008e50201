"""The meaning of a backend's response: its status, its headers and its body, judged by rules. Pure.

The first rule that matches decides: the lookup's own, its backend's, then the built-in ones below. Only the
meaning ``ok`` has the body mapped to variables. Every error of a backend is raised, so none becomes a record.

=====================================  ===================================================================
200, 201, 203                          ``ok``; asked once more if the body cannot be decoded, then ``bad``
any 2xx without a body, 204, 205       ``not_found`` where the lookup declares it, else ``bad``
202, 407, 408, 425, 5xx                ``unavailable``
429, and 503 with ``Retry-After``      ``throttled``
401                                    ``unauthorized``
404, 410 with JSON or XML, as the      ``not_found`` where the lookup declares it, else ``rejected``
replies are, or without a body
404, 410 with another body             ``unavailable``: a page of a proxy is not the backend's word
206, 207, other 2xx                    ``bad``
other 3xx and 4xx                      ``rejected``
=====================================  ===================================================================
"""

import math
from codecs import BOM_UTF8, BOM_UTF16_LE
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from gateway.core.errors import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    BadBackendReply,
    NoAnswer,
    NotJson,
    Unmapped,
)
from gateway.core.variables import as_text
from gateway.declared.answers import Condition, Meaning, Rule
from gateway.declared.expression import EVALUATION_ERRORS, evaluate
from gateway.declared.lookup import Lookup
from gateway.lookups.decoding import decode
from gateway.lookups.reply import Finding, map_not_found, map_reply

_OK = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NON_AUTHORITATIVE_INFORMATION}
_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT}
BY_STATUS: Mapping[int, Meaning] = {
    HTTPStatus.ACCEPTED: "unavailable",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "unavailable",
    HTTPStatus.REQUEST_TIMEOUT: "unavailable",
    HTTPStatus.TOO_EARLY: "unavailable",
    HTTPStatus.TOO_MANY_REQUESTS: "throttled",
    HTTPStatus.UNAUTHORIZED: "unauthorized",
}
_MISSING = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_BLANK = b" \t\r\n\v\f" + BOM_UTF8 + BOM_UTF16_LE
_ABSENT: tuple[object, ...] = (None, "", [], {})


class Response(NamedTuple):
    """A response as it came. ``headers`` has names without case; ``body`` is None if it was not read.

    ``unread`` is what had come by then of a body that takes no part in the meaning, for people alone;
    ``whole``: it is all of that body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | None
    unread: bytes = b""
    whole: bool = True


class Undecoded(NamedTuple):
    """In the place of a decoded body: why there is none."""

    error: NoAnswer | None


def wants_body(lookup: Lookup, status: int) -> bool:
    """True if the body of a response with this status takes part in its meaning."""
    if status in _OK or status in _MISSING:
        return True
    return any(status in rule.statuses and (rule.conditions or rule.means == "ok") for rule in lookup.rules)


def interpret(lookup: Lookup, response: Response, now: float) -> Finding:
    """Return what ``response`` answers to ``lookup``; raise NoAnswer for every other meaning.

    ``now`` is Unix time in seconds: a ``Retry-After`` may be a date.
    """
    reply = decoded(lookup, response)
    rule = find_rule(lookup, response, reply)
    if rule is not None:
        return declared(lookup, rule, response, reply, now)
    return _built_in(lookup, response, reply, now)


def find_rule(lookup: Lookup, response: Response | None, reply: object) -> Rule | None:
    """Return the first declared rule that matches; None if the built-in ones decide.

    ``response`` is None for a ``reply`` that came without HTTP: then no rule's status is looked at.
    """
    for rule in lookup.rules:
        if (response is None or response.status in rule.statuses) and holds(rule, reply):
            return rule
    return None


def pause_of(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that ``Retry-After`` asks for; None if it asks for none.

    RFC 9110, 10.2.3: seconds, or a date. A date counts from the response's own ``Date``, if it has one: the
    backend's clock may be wrong.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    seconds = _seconds(text)
    if seconds is None and (at := _date(text)) is not None:
        seconds = at - (_date(headers.get("Date", "")) or now)
    return None if seconds is None or seconds <= 0 else seconds


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _date(text: str) -> float | None:
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def decoded(lookup: Lookup, response: Response) -> object:
    """Return the decoded body, None for an empty one; an :class:`Undecoded` if there is nothing to judge."""
    if response.body is None:
        return Undecoded(None)
    if _is_blank(response.body):
        return None
    try:
        return decode(lookup, response.body, response.headers.get("Content-Type", ""))
    except NoAnswer as error:
        return Undecoded(error)


def _is_blank(body: bytes) -> bool:
    """True for white space alone, and for a lone byte order mark."""
    return not body.strip(_BLANK)


def holds(rule: Rule, reply: object) -> bool:
    """True if all that a rule says about the body holds. A body that cannot be read fits no condition."""
    if not rule.conditions:
        return True
    return not isinstance(reply, Undecoded) and all(_fits(one, reply) for one in rule.conditions)


def _fits(condition: Condition, reply: object) -> bool:
    try:
        value = evaluate(condition.expression.parsed, reply)
        if condition.wanted is None:
            return value is not False and not _is_absent(value)
        return any(_equals(value, wanted) for wanted in condition.wanted)
    except EVALUATION_ERRORS:
        return False


def _is_absent(value: object) -> bool:
    return any(value is one or (type(value) is type(one) and value == one) for one in _ABSENT)


def _equals(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - any JSON value, any TOML value
    """True if ``value`` is ``wanted``: as numbers if both are numbers, else as the texts of variables."""
    if wanted == "*":
        return not _is_absent(value)
    if wanted == "":
        return _is_absent(value)
    if _is_number(value) and _is_number(wanted):
        return bool(value == wanted)
    return value is not None and as_text(value) == as_text(wanted)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def declared(lookup: Lookup, rule: Rule, response: Response | None, reply: object, now: float) -> Finding:
    """Return or raise what a rule says; ``reason`` names the rule."""
    reason = f"{rule.name}: {rule.means}" + (f" ({response.status})" if response else "")
    if rule.means == "ok":
        return found(lookup, reply)
    return conclude(lookup, rule.means, reason, pause_of(response.headers, now) if response else None)


def _built_in(lookup: Lookup, response: Response, reply: object, now: float) -> Finding:
    if response.status in _OK and (response.body is None or not _is_blank(response.body)):
        return found(lookup, reply)
    pause = pause_of(response.headers, now)
    means, reason = judge_status(lookup, response.status, reply, asks_for_pause=pause is not None)
    return conclude(lookup, means, f"the backend answered {response.status}{reason}", pause)


def judge_status(lookup: Lookup, status: int, reply: object, *, asks_for_pause: bool) -> tuple[Meaning, str]:
    """Return what a response means that has no reply to be mapped, and what to add to the reason."""
    missing: Meaning = "rejected" if lookup.not_found is None else "not_found"
    means, reason = BY_STATUS.get(status), ""
    if means is not None:
        pass
    elif status in _OK or status in _WITHOUT_BODY:
        means, reason = ("bad" if lookup.not_found is None else "not_found"), ", and the reply is empty"
    elif status in _MISSING and not _is_own(lookup, reply):
        means, reason = "unavailable", " with a page that is not the backend's own"
    elif status in _MISSING:
        means = missing
    elif status == HTTPStatus.SERVICE_UNAVAILABLE and asks_for_pause:
        means = "throttled"
    elif status < HTTPStatus.MULTIPLE_CHOICES:
        means = "bad"
    elif status < HTTPStatus.BAD_REQUEST:
        means, reason = "rejected", "; redirects are not followed"
    else:
        means = "unavailable" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "rejected"
    return means, reason


def _is_own(lookup: Lookup, reply: object) -> bool:
    """True if an error's body may be the backend's own: there is none, or it is in the format of the replies.

    Every page of a proxy is a text, and most are forms: so there a body says nothing.
    """
    return reply is None or (not isinstance(reply, Undecoded) and lookup.reply in {"json", "xml"})


def found(lookup: Lookup, reply: object) -> Finding:
    """Return the variables of a reply that is an answer; a reply that gives none is judged by ``empty``."""
    if isinstance(reply, Undecoded):
        raise reply.error or NotJson("the reply could not be read")
    variables, nulls, failed = map_reply(lookup, reply)
    if not nulls and not failed:
        return Finding(variables)
    if failed and len(failed) == len(variables):
        msg = f"every expression fails on the reply: {', '.join(failed)}"
        raise Unmapped(msg)
    if len(nulls) + len(failed) == len(variables) and lookup.empty != "ok":
        reason = "every variable is null in the reply"
        if lookup.empty == "bad":
            raise Unmapped(reason)
        return conclude(lookup, lookup.empty, reason, None)
    for name in (*nulls, *failed):
        if name in lookup.required:
            reason = (
                f"the expression of {name} fails on the reply"
                if name in failed
                else f"the reply has no {name}"
            )
            msg = f"{reason}, which is required"
            raise Unmapped(msg)
    return Finding(variables, failed=failed)


def conclude(lookup: Lookup, means: Meaning, reason: str, pause: float | None) -> Finding:
    """Return the Finding of ``not_found``; raise the error of every other meaning."""
    if means == "not_found" and lookup.not_found is not None:
        return Finding(map_not_found(lookup), found=False)
    raise failure(means, reason, pause)


def failure(means: str, reason: str, pause: float | None) -> NoAnswer:
    """Return the error of a meaning that is no answer."""
    match means:
        case "unauthorized":
            return BackendDenied(reason)
        case "throttled":
            return BackendThrottled(reason, pause)
        case "unavailable":
            return BackendUnavailable(reason)
        case "bad":
            return BadBackendReply(reason)
        case _:
            return BackendRejected(reason)
