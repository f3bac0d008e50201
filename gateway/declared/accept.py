"""The table ``lookups.NAME.accept``: which texts a lookup takes for an input, and how they are made one.

Visitors type an order's number with a blank, in full-width digits, and plainly: it shall be one record.
"""

import string
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import re2

from gateway.core.errors import InvalidInput
from gateway.declared.reading import Fault, Secret, plain
from gateway.declared.values import Table
from gateway.declared.wording import unknown

LONGEST_INPUT = 1024
"""Most characters of an input that `accept` takes."""

_INVISIBLE = "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\ufeff" + "".join(
    map(chr, (*range(0x202A, 0x202F), *range(0x2060, 0x206A)))
)
"""Soft hyphens, marks of direction, joiners: numbers that are copied from elsewhere have them."""

_ENDS_QUOTES = ("'", '"', "\\", "a'", "'a", "a'b", 'a"b', "a\\", "a' b '", 'a" b "')
_ADDS = ("a b", "a=b", "a^b", "a^ORb", "a,b", "a)b", "a(b", "a;b", "a&b", "a|b", "a*", "*", "^", "a:b")
_WILD = tuple(
    text
    for wild in "%_"
    for n in range(1, 25)
    for text in (wild * n, "1" * n + wild, "a" * n + wild, wild + "1" * n)
)
_QUIET = re2.Options()
_QUIET.log_errors = False


def is_blank(value: str) -> bool:
    """True for a text in which there is nothing to be seen."""
    return not value.strip().strip(_INVISIBLE + string.whitespace).strip()


class AcceptTable(Table, frozen=True, kw_only=True):
    """One input: ``fold`` and ``trim`` make it plain. ``blank`` counts as absent; all else must ``match``."""

    trim: bool = False
    fold: bool = False
    blank: tuple[str, ...] = ()
    match: str | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """What a lookup takes for one input, compiled."""

    trim: bool
    fold: bool
    blank: frozenset[str]
    match: Any

    def normalise(self, name: str, value: str) -> str:
        """Return the value in its one form, ``""`` for one that counts as absent; raise InvalidInput.

        A form that this returns is returned as it is.
        """
        if len(value) > LONGEST_INPUT:
            raise InvalidInput(name)
        value = self.plain(value)
        if not value or value in self.blank:
            return ""
        if len(value) > LONGEST_INPUT or not self._matches(value):
            raise InvalidInput(name)
        return value

    def guards(self, quoted: str | None) -> bool:
        """True if ``match`` takes no text that could end quotes, or add to a text without any."""
        hostile = _ENDS_QUOTES if quoted else (*_ENDS_QUOTES, *_ADDS)
        return self.match is not None and not any(map(self._matches, hostile))

    def guards_pattern(self) -> bool:
        """True if ``match`` takes no text with a wildcard of SQL's patterns."""
        return self.match is not None and not any(map(self._matches, _WILD))

    def _matches(self, value: str) -> bool:
        try:
            return self.match is None or self.match.fullmatch(value) is not None
        except UnicodeEncodeError:  # a lone surrogate
            return False

    def plain(self, value: str) -> str:
        """Return the value folded and trimmed: full-width digits become digits, blanks at the ends go."""
        if self.fold and not value.isascii():
            value = unicodedata.normalize("NFKC", value)
        if self.trim:
            trimmed = value.strip().strip(_INVISIBLE)
            while trimmed != value:
                value, trimmed = trimmed, trimmed.strip().strip(_INVISIBLE)
        return value


def compile_accept(
    path: str, accept: Mapping[str, AcceptTable | None], inputs: Collection[str], faults: list[Fault]
) -> Mapping[str, Accept]:
    """Return what the table at ``path`` means, by input; add each contradiction to ``faults``.

    ``inputs`` are the variables that the lookup reads.
    """
    compiled = {}
    for name, one in accept.items():
        if name not in inputs:
            faults.append(Fault(f"{path}.{name}", unknown(name, "an input of the lookup", inputs)))
        if one is not None:
            match = _compile(f"{path}.{name}.match", one.match, faults)
            form = Accept(one.trim, one.fold, frozenset(), match)
            compiled[name] = replace(form, blank=frozenset(form.plain(plain(text)) for text in one.blank))
    return compiled


def _compile(place: str, match: str | None, faults: list[Fault]) -> Any:  # noqa: ANN401 - re2 has no types
    """Return an expression of RE2, which takes time in proportion to the text, whatever that is."""
    if match is None:
        return None
    if not match:
        faults.append(Fault(place, "matches the empty text alone, which counts as absent"))
    try:
        return re2.compile(plain(match), _QUIET)
    except re2.error as error:
        reason = "" if isinstance(match, Secret) else f": {error.args[0].decode(errors='replace')}"
        faults.append(Fault(place, f"not a regular expression of RE2{reason}"))
        return None
