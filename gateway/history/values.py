"""What is kept of the values of a callback and of a backend's replies, without what is hidden. Pure."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway.core.charsets import find_charset
from gateway.core.packing import UNREADABLE
from gateway.core.variables import as_json, keep_number
from gateway.declared.mask import HIDDEN, Mask

LONGEST_VALUE = 1000
"""Characters of a variable's value that are kept."""

LONGEST_BODY = 8192
"""Characters of a backend's reply that are kept."""

LARGEST_READ = 65_536
"""Bytes of a reply that is looked through for what is to be hidden; of a larger one nothing is kept."""

_SHORTEST_HIDDEN = 3
_WORD = re.compile(r"[\w-]+")
_BEFORE_VALUE = re.compile(r"[\"']?\s*[:=>]")
_read_json = msgspec.json.Decoder(float_hook=keep_number).decode


class Kept(NamedTuple):
    """A body as it is kept: its text, and whether that was cut."""

    text: str
    cut: bool


def keep_values(values: Mapping[str, str], mask: Mask) -> dict[str, str]:
    """Return variables as they are kept: the hidden ones hidden, the long ones cut."""
    return {name: _cut(value, LONGEST_VALUE) for name, value in mask.named(values).items()}


def keep_body(body: bytes, content_type: str, mask: Mask, inputs: Mapping[str, str]) -> Kept:
    """Return the body of a reply as it is kept.

    In JSON, what stands under a hidden name is hidden. In another format, or in half a reply, it cannot be
    told what belongs to a name: a body in which a hidden name stands is hidden as a whole, and the values of
    the lookup's hidden ``inputs`` are hidden wherever they stand.
    """
    if len(body) > LARGEST_READ:
        return Kept("", cut=True)
    try:
        text = as_json(mask.value(_read_json(body)))
    except (*UNREADABLE, RecursionError):
        text = body.decode(_codec_of(content_type), errors="replace")
        if any(_is_hidden_name(mask, text, word) for word in _WORD.finditer(text)):
            return Kept(HIDDEN, cut=True)
        text = mask.text(text)
        for name, value in inputs.items():
            if mask.hides(name) and len(value) >= _SHORTEST_HIDDEN:
                text = text.replace(value, HIDDEN)
    return Kept(_cut(text, LONGEST_BODY), len(text) > LONGEST_BODY)


def _is_hidden_name(mask: Mask, text: str, word: re.Match[str]) -> bool:
    """True for a word that the app hides, and for one like ``password`` before a value."""
    if not mask.hides(word[0]):
        return False
    return word[0].lower() in mask.names or _BEFORE_VALUE.match(text, word.end()) is not None


def _cut(text: str, longest: int) -> str:
    """Return a text that UTF-8 can hold, of so many characters at most."""
    return text[:longest].encode(errors="replace").decode()


def _codec_of(content_type: str) -> str:
    _, _, label = content_type.lower().partition("charset=")
    return find_charset(label.strip("\"' ;")) or "utf_8"
