"""Templates: text with ``{Variable}`` places; no value filled in can change the text's structure.

``place.py`` has the kinds of places. ``{{`` and ``}}`` are braces.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import quote, unquote

from gateway.core.errors import InvalidInput
from gateway.declared.place import CONTROL, Place, parse_place

LONGEST_SEGMENT = 1024
"""Most characters of a value in a path."""

_LIKE = re.compile(r"\blike\s*'[^']*$", re.IGNORECASE)
_PIECE = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+")
# RFC 3986, 3.3: the characters that a path holds unencoded; "%" because authors write encoded paths.
_PATH_SAFE = "/%:@!$&'()*+,;=-._~"
_HEADER_SAFE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and places in turn; :meth:`fill` puts encoded values between the literals."""

    parts: tuple[tuple[str, Place | None], ...]

    @property
    def places(self) -> Iterator[Place]:
        """The places, in their order."""
        return (place for _, place in self.parts if place is not None)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the variables that the template reads, in the order of their places."""
        return tuple(place.name for place in self.places)

    @property
    def alone(self) -> Place | None:
        """The place that is the whole text, None for another text."""
        ((literal, place), *more) = self.parts or (("", None),)
        return place if not literal and not more else None

    def __repr__(self) -> str:
        """Leave the literals out: they may come from the environment."""
        return f"Template(inputs={self.inputs})"

    def befores(self) -> Iterator[tuple[str, Place]]:
        """Yield each place with the literal text before it."""
        before = ""
        for literal, place in self.parts:
            before += literal
            if place is not None:
                yield before, place

    def left_out(self, values: Mapping[str, str]) -> bool:
        """True if an optional place has no value: then all that holds this text is left out."""
        return any(place.optional and not values.get(place.name) for place in self.places)

    def fill(self, values: Mapping[str, str], encode: Callable[[str], str], raw: Collection[str] = ()) -> str:
        """Return the text with each place holding its value, encoded but for the kinds in ``raw``.

        Raise KeyError if a value is absent, InvalidInput with the variable's name if it does not fit.
        """
        text = ""
        for literal, place in self.parts:
            text += literal
            if place is not None:
                value = place.fill(values)
                text += value if place.kind in raw else _encoded(place, value, encode)
        return text


def _encoded(place: Place, value: str, encode: Callable[[str], str]) -> str:
    try:
        return encode(value)
    except ValueError:  # no encoding has this text: a lone surrogate, for example
        raise InvalidInput(place.name) from None


def parse_template(text: str) -> Template:
    """Return ``text`` as a template (``{{`` and ``}}`` are braces); raise ValueError if it is none."""
    parts: list[tuple[str, Place | None]] = []
    literal = ""
    for piece in _PIECE.findall(text):
        if piece in {"{{", "}}"}:
            literal += piece[0]
        elif piece[0] not in "{}":
            literal += piece
        else:
            place = parse_place(piece)
            before = "".join(text for text, _ in parts) + literal
            if place.kind == "soql" and _LIKE.search(before):
                place = replace(place, kind="soqllike")  # a visitor's "%" would find everybody
            parts.append((literal, place))
            literal = ""
    if literal or not parts:
        parts.append((literal, None))
    return Template(tuple(parts))


def encode_segment(value: str) -> str:
    """Percent-encode ``value`` whole (RFC 3986, 2.1): no slash, question mark or dot of it keeps a meaning.

    Dots are encoded too, so that clients do not fold ``..`` away; see :func:`fill_path` for servers that
    decode before they look.
    """
    return quote(value, safe="").replace(".", "%2E") if value.strip(".") == "" else quote(value, safe="")


def encode_header(value: str) -> str:
    """Percent-encode what no header field may hold (RFC 9110, 5.5); visible ASCII and space are kept."""
    return quote(value, safe=_HEADER_SAFE)


_SLASH = re.compile(r"[/\\]")

is_plain = re.compile(r"[A-Za-z0-9_-]{1,1024}").fullmatch
"""Match a value that is one segment of a path for certain: most are, and need no further look."""


def fits_path(value: str) -> bool:
    """True if ``value`` stays one segment of a path, also for a server that decodes it first.

    Many frameworks decode ``%2F`` before they route. Some cut ``;…`` off a segment, or blanks: what is left
    of a blank one is the path of all things.
    """
    for text in (value, unquote(value)):
        segment = text.partition(";")[0].strip()
        if CONTROL.search(text) or "/" in text or "\\" in text or segment in {"", ".", ".."}:
            return False
    return True


def climbs(value: str) -> bool:
    """True if a part of ``value`` between slashes is ``.`` or ``..``, also after decoding once more."""
    parts = (part for text in (value, unquote(value)) for part in _SLASH.split(text))
    return any(part.partition(";")[0].strip() in {".", ".."} for part in parts)


def fill_path(template: Template, values: Mapping[str, str]) -> str:
    """Return the encoded path; raise InvalidInput if a value would lengthen it or climb in it.

    ``{name:any}`` may hold a slash, encoded. A segment ``.`` or ``..`` moves up or stays in the tree, even if
    it is percent-encoded (WHATWG URL, "double-dot path segment"). So no encoding makes it safe.
    """
    path, allowed = "", _slashes_of(template)
    for literal, place in template.parts:
        path += quote(literal, safe=_PATH_SAFE)
        if place is not None:
            value = place.fill(values)
            is_short = len(value) <= LONGEST_SEGMENT
            if not is_short or (climbs(value) if place.kind == "any" else not fits_path(value)):
                raise InvalidInput(place.name)
            if place.kind == "any":
                allowed += _slashes(value, times=1)
            path += _encoded(place, value, encode_segment)
    # "%", "2" and "f" of two values and a literal may become a slash together, and so may two dots.
    if climbs(unquote(path)) or ("%25" in path and _slashes(path, times=2) != allowed):
        raise InvalidInput(", ".join(template.inputs))
    return path


def _slashes(text: str, times: int) -> int:
    """Return the number of slashes and backslashes in ``text`` once it is decoded so many times."""
    for _ in range(times):
        text = unquote(text)
    return len(_SLASH.findall(text))


@lru_cache(maxsize=1024)
def _slashes_of(template: Template) -> int:
    return _slashes(template.fill(dict.fromkeys(template.inputs, "1"), str), times=2)
