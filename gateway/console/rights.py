"""Who may use the console: tokens, the cookie that a login gives, and where a request may come from. Pure.

A cookie is signed with the token that it was given for. So every process of an address accepts it, none has
to remember it, and a token that is taken away takes its cookies with it.
"""

import hmac
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from gateway.declared.admin_token import AdminTokens

Right = Literal["read", "act"]

COOKIE = "deskgate_console"
LOGIN_LASTS = 43_200.0
"""Seconds for which a login lasts."""

_BEARER = "bearer "
_TIME = re.compile("[0-9]{1,12}")  # Python reads no number of thousands of digits
_PURPOSE = "deskgate console login"


def right_of_token(tokens: AdminTokens, given: str) -> Right | None:
    """Return the right that a token gives."""
    found: Right | None = None
    for right, token in _each(tokens):  # all of them, so that its time says nothing
        if hmac.compare_digest(token.encode(), given.encode(errors="replace")):
            found = right
    return found


def make_cookie(given: str, right: Right, now: float) -> str:
    """Return the value of the cookie for a token that gives this right. ``now`` is Unix time."""
    until = int(now + LOGIN_LASTS)
    return f"{right}.{until}.{_sign(given, right, until)}"


def right_of_cookie(tokens: AdminTokens, value: str, now: float) -> Right | None:
    """Return the right that a cookie gives; None if it is none of ours, or over."""
    name, _, rest = value.partition(".")
    until, _, signature = rest.partition(".")
    if not (_TIME.fullmatch(until) and now < int(until) <= now + LOGIN_LASTS + 1):
        return None
    found: Right | None = None
    for right, token in _each(tokens):
        expected = _sign(token, right, int(until))
        if right == name and hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
            found = right
    return found


def bearer_of(headers: Mapping[str, str]) -> str:
    """Return the token in ``Authorization``, ``""`` if there is none."""
    value = headers.get("Authorization", "")
    return value[len(_BEARER) :].strip() if value.lower().startswith(_BEARER) else ""


def is_from_our_page(headers: Mapping[str, str]) -> bool:
    """True if a browser sent a request from a page of the same host, and from no other site's page."""
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    origin = headers.get("Origin", "")
    return bool(origin) and _host_of(origin) == headers.get("Host", "").lower()


def is_local(host: str) -> bool:
    """True if an address, or the name in a ``Host`` header, is of this machine alone.

    A page of another site may have its own name lead here. So without a token, names are looked at, too.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or is_loopback(name)


def is_loopback(address: str) -> bool:
    """True if nobody but this machine can reach an address."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _each(tokens: AdminTokens) -> Iterator[tuple[Right, str]]:
    for token in tokens.read:
        yield "read", str(token)
    for token in tokens.act:
        yield "act", str(token)


def _sign(token: str, right: Right, until: int) -> str:
    return hmac.new(token.encode(), f"{_PURPOSE}\0{right}\0{until}".encode(), sha256).hexdigest()


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
