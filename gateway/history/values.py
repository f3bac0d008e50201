"""What is kept of the values of a callback and of a backend's replies, without what is hidden. Pure."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway.core.charsets import find_charset, is_utf8
from gateway.core.packing import UNREADABLE
from gateway.core.variables import as_json, keep_number
from gateway.declared.mask import SHORTEST_VALUE, Mask
from gateway.declared.secrets import HIDDEN

LONGEST_VALUE = 1000
"""Characters of a variable's value that are kept."""

LONGEST_BODY = 8192
"""Characters of a backend's reply that are kept."""

LARGEST_READ = 65_536
"""Bytes of a reply, or characters of a value, that are looked through; of a larger one nothing is kept."""

_BOMS = ((BOM_UTF8, "utf_8_sig"), (BOM_UTF16_LE, "utf_16"), (BOM_UTF16_BE, "utf_16"))
_IN_HEADER = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)
_IN_XML = re.compile(rb"\s*<\?xml[^>]{0,100}?\sencoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_LOST = "\ufffd"
_HARDLY_MEANT = "cp1252"  # ISO-8859-1: what servers say if nobody tells them
_read_json = msgspec.json.Decoder(float_hook=keep_number).decode


class Kept(NamedTuple):
    """A body as it is kept: its text, and whether that was cut."""

    text: str
    cut: bool


def hide_inputs(mask: Mask, inputs: Mapping[str, str]) -> Mask:
    """Return a mask that hides the hidden ones of these inputs wherever they stand: replies repeat them."""
    hidden = [value for name, value in inputs.items() if len(value) >= SHORTEST_VALUE and mask.hides(name)]
    return mask.also(values=hidden) if hidden else mask


def keep_values(values: Mapping[str, str], mask: Mask) -> dict[str, str]:
    """Return variables as they are kept: the hidden ones hidden, the long ones cut, huge ones hidden, too."""
    read = {name: value if len(value) <= LARGEST_READ else HIDDEN for name, value in values.items()}
    return {name: _cut(value, LONGEST_VALUE) for name, value in mask.named(read).items()}


def keep_body(body: bytes, content_type: str, mask: Mask, *, charset: str = "", whole: bool = True) -> Kept:
    """Return the body of a reply as it is kept; ``charset`` is the codec of a backend that declares one.

    In JSON, what stands under a hidden name is hidden. In another format, or in half a reply, it cannot be
    told what belongs to a name: a body in which a hidden name stands is hidden as a whole.
    """
    if len(body) > LARGEST_READ:
        return Kept("", cut=True)
    try:
        text = as_json(mask.value(_read_json(body)))
    except (*UNREADABLE, RecursionError):
        text = body.decode(_codec_of(body, content_type, charset), errors="replace")
        text = text if whole else text.rstrip(_LOST)
        if _is_unclear(text, mask) or mask.names_in(text):
            return Kept(HIDDEN, cut=True)
        text = mask.text(text) if whole else mask.half(text)
    return Kept(_cut(text, LONGEST_BODY), len(text) > LONGEST_BODY)


def _is_unclear(text: str, mask: Mask) -> bool:
    """True if a text was decoded by a wrong charset, so that a name that is to be hidden may not be seen."""
    return "\0" in text or (_LOST in text and not all(map(str.isascii, mask.names)))


def _cut(text: str, longest: int) -> str:
    """Return a text that UTF-8 can hold, of so many characters at most."""
    return text[:longest].encode(errors="replace").decode()


def _codec_of(body: bytes, content_type: str, charset: str) -> str:
    """Return the codec of a body, as lookups choose it."""
    for mark, codec in _BOMS:
        if body.startswith(mark):
            return codec
    if charset:
        return charset
    named, declared = _IN_HEADER.search(content_type), _IN_XML.match(body)
    found = find_charset(named[1]) if named else None
    if found == _HARDLY_MEANT and is_utf8(body):
        found = None
    if found is None and declared is not None:
        found = find_charset(declared[1].decode())
        found = None if found is not None and found.startswith("utf_16") else found  # it has no such bytes
    return found or "utf_8"
