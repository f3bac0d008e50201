"""The secrets of a configuration: which texts they are, and how they stand in other texts. Pure."""

import base64
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import msgspec

from gateway.declared.environment import FILE
from gateway.declared.reading import Secret, plain

HIDDEN = "•••"

_SECRET_NAME = re.compile(
    r"authori[sz]ation|cookie|token|secret|passw|pwd|passphrase|credential|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|signature|^sign$|^auth$|^pin$",
    re.IGNORECASE,
)
_ADDRESSES = frozenset(("url", "token_url", "proxy"))
_SHOWN = frozenset(("path", "sql"))  # what is asked
_SENT = frozenset(("query", "headers", "form", "json", "params", "endpoint_params", "claims", "options"))
"""Tables whose names the author chose: what has a secret's name there is one, also if the file has it."""

_PATH_SAFE = "/%:@!$&'()*+,;=-._~"  # as places.py leaves them in a path
_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<pair>[^/?#@\s]*)@")
_USER_OF_DATABASE = re.compile(r"(?P<scheme>postgresql|mysql)://(?P<pair>[^\s]*)@")
"""SQLAlchemy takes all up to the last ``@`` for user and password."""

_OPTION = re.compile(r"(?P<name>[?&][^=&#\s]+=)(?P<value>[^&#\s]+)")
_BY_NAME = re.compile(r"\$\{[^{}]*\}")
_PER_CENT = re.compile("%[0-9A-F]{2}")
_USUAL = 100  # characters of a name: those of each job and reply are the same again and again


def names_a_secret(name: str) -> bool:
    """True if what has this name is a secret, such as ``password`` and ``X-Api-Key``."""
    return _looked_up(name) if len(name) <= _USUAL else _SECRET_NAME.search(name) is not None


@lru_cache(maxsize=2048)
def _looked_up(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def secrets_of(value: object, name: str = "", *, sent: bool = False) -> Iterator[str]:
    """Yield the secrets of a table: its credentials, and all texts that come from the environment.

    Of an address, user and password are secrets alone, and of a path and a statement nothing: where a
    question goes must be seen. But for what comes from a file, or from a variable with a secret's name: it is
    one wherever it stands. ``sent``: the text goes to a backend under its name.
    """
    if isinstance(value, msgspec.Struct):
        yield from _pairs(value)
        for field in value.__struct_fields__:
            yield from secrets_of(getattr(value, field), field, sent=field in _SENT)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from secrets_of(one, str(key), sent=sent)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from secrets_of(one, name, sent=sent)
    elif isinstance(value, str):
        yield from _of_text(value, name)
        if sent and names_a_secret(name):
            yield plain(value)


def _of_text(text: str, name: str) -> Iterator[str]:
    if name in _ADDRESSES:
        yield from _of_address(text)
    elif isinstance(text, Secret) and name not in _SHOWN:
        yield plain(text)
    for variable, part in text.parts if isinstance(text, Secret) else ():
        if _USER.match(part) or "://" in part:
            yield from _of_address(part)
        elif name not in _ADDRESSES | _SHOWN or variable.startswith(FILE) or names_a_secret(variable):
            yield part


def _pairs(table: Any) -> Iterator[str]:  # noqa: ANN401 - any table
    """Yield user and password as RFC 7617 sends them."""
    user, password = getattr(table, "username", ""), getattr(table, "password", "")
    if password:
        yield _basic(user, password)
    client, secret = getattr(table, "client_id", ""), getattr(table, "client_secret", "")
    if secret:
        yield _basic(quote(client, safe=""), quote(secret, safe=""))


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _of_address(text: str) -> Iterator[str]:
    """Yield the secrets of an address."""
    if found := _user_of(text):
        user, _, password = found["pair"].partition(":")
        secret = password or (user if found["scheme"].startswith("http") else "")
        if secret:
            yield from (secret, unquote(secret), _basic(unquote(user), unquote(password)))
    for option in _OPTION.finditer(text):
        if names_a_secret(option["name"]):
            yield from (option["value"], unquote_plus(option["value"]))


def _user_of(text: str) -> re.Match[str] | None:
    return _USER_OF_DATABASE.match(text) or _USER.match(text)


def hide_in_address(text: str) -> str:
    """Return an address without its secrets, however short they are; the name of a variable is none."""
    if found := _user_of(text):
        user, colon, password = found["pair"].partition(":")
        if not colon and found["scheme"].startswith("http"):
            user, password = "", user
        start, end = found.span("pair")
        text = f"{text[:start]}{user}{colon}{_hidden(password)}{text[end:]}"
    return _OPTION.sub(
        lambda one: one["name"] + (_hidden(one["value"]) if names_a_secret(one["name"]) else one["value"]),
        text,
    )


def _hidden(text: str) -> str:
    return text if not text or _BY_NAME.fullmatch(text) else HIDDEN


def forms_of(secret: str) -> set[str]:
    """Return a secret as it stands in texts, in addresses, in forms, in JSON and in XML."""
    as_json, ascii_json = msgspec.json.encode(secret).decode()[1:-1], json.dumps(secret)[1:-1]
    quoted = {quote(secret, safe=""), quote(secret), quote(secret, safe=_PATH_SAFE), quote_plus(secret)}
    quoted |= {_PER_CENT.sub(lambda code: code[0].lower(), one) for one in quoted}
    written = {as_json, ascii_json, *(one.replace("/", r"\/") for one in (as_json, ascii_json))}
    marked = escape(secret, quote=False)
    marks = {marked, escape(secret), marked.replace('"', "&quot;").replace("'", "&apos;")}
    return {secret} | quoted | written | marks
