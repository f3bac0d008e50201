"""Values that tables hold: texts with a meaning, the base class of tables, and checks that tables share."""

import re
from collections.abc import Iterable, Iterator
from typing import Self
from urllib.parse import SplitResult, urlsplit

import msgspec

from gateway.core.units import parse_duration, parse_size
from gateway.declared.reading import Fault, Secret

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""A character that no header field may hold."""

_HIGHEST_PORT = 65_535
_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[\w.-]*)):(?P<port>\d{1,5})", re.ASCII
)
_PER_CENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%", re.ASCII)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?/ ?(s|min|h)", re.ASCII)
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]")


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One table of the file; it is encoded without the settings that have their defaults."""


class Duration(float):
    """Seconds, written with a unit: ``"800ms"``."""

    __slots__ = ()
    EXAMPLE = "1.6s"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the duration that ``text`` says; raise ValueError if it says none."""
        return cls(parse_duration(text))


class Share(float):
    """A part of a whole, written in per cent: ``"20%"``."""

    __slots__ = ()
    EXAMPLE = "20%"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the share that ``text`` says, 0 to 1; raise ValueError if it says none."""
        found = _PER_CENT.fullmatch(text)
        if found is None or float(found[1]) > 100:  # noqa: PLR2004 - per cent
            msg = f"{text!r} is not a share; write for example '20%'"
            raise ValueError(msg)
        return cls(float(found[1]) / 100)


class PerSecond(float):
    """So many in a second, written with the time that they are counted in: ``"50/s"``, ``"3000/min"``."""

    __slots__ = ()
    EXAMPLE = "50/s"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate that ``text`` says; raise ValueError if it says none, or zero."""
        found = _RATE.fullmatch(text)
        if found is None or not float(found[1]):
            msg = f"{text!r} is not a rate; write for example '50/s' or '3000/min'"
            raise ValueError(msg)
        return cls(float(found[1]) / {"s": 1, "min": 60, "h": 3600}[found[2]])


class Size(int):
    """Bytes, written with a unit: ``"64KiB"``."""

    __slots__ = ()
    EXAMPLE = "64KiB"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the size that ``text`` says; raise ValueError if it says none."""
        return cls(parse_size(text))


HAS_EDGE = "begins or ends with a blank, a line break or a byte order mark; take it off"


def has_edge(secret: str) -> bool:
    """True if ``secret`` has a blank, a line break or a byte order mark at an end, as copied texts may."""
    return secret != secret.strip().strip("\ufeff\u200b").strip()


class Tokens(tuple[Secret, ...]):
    """The tokens of an app, newest first; written as one text or as a list of texts."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return one token or several; raise ValueError for another type and for an empty token."""
        texts = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            msg = "expected a token, or a list of tokens, that are not empty"
            raise ValueError(msg)
        return cls(map(Secret.parse, texts))


class Address(tuple[str, int]):
    """Host and port to listen on. An empty host is every interface; port 0 lets the kernel choose."""

    __slots__ = ()
    EXAMPLE = "127.0.0.1:8080"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that ``text`` says; raise ValueError if it says none."""
        found = _ADDRESS.fullmatch(text)
        if found is None or int(found["port"]) > _HIGHEST_PORT:
            msg = f"{text!r} is not host:port; write for example '127.0.0.1:8080', '[::1]:8080' or ':8080'"
            raise ValueError(msg)
        return cls((found["six"] or found["host"] or "", int(found["port"])))


def split_url(text: str) -> SplitResult | None:
    """Return the parts of a URL, None if ``text`` is no URL."""
    try:
        return None if _NOT_IN_URL.search(text) else urlsplit(text)
    except ValueError:
        return None


def check_positive(path: str, table: Table, names: Iterable[str]) -> Iterator[Fault]:
    """Yield a fault for each named setting of ``table`` that is not more than zero."""
    for name in names:
        if getattr(table, name) <= 0:
            yield Fault(f"{path}.{name}", "must be more than zero")
