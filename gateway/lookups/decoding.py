"""From the bytes of a backend's reply to a value: its charset, and its format. Pure.

The charset is the first of these that there is:

1. a byte order mark (RFC 7303, 3.3), which is skipped;
2. the backend's ``charset``;
3. that of ``Content-Type``, if it is one that is read;
4. for XML, that of the XML declaration;
5. UTF-8.

Many servers say ISO-8859-1 or US-ASCII without meaning it. So if ``Content-Type`` names one of these, it
counts last, and only for bytes that are not UTF-8.

A reply that cannot be read is either ``NotJson``, which is worth another attempt, or ``BadBackendReply``. The
next reply may be better if this one was cut short, or is a page of a proxy. It will not be if a whole reply
came in another charset.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from xml.parsers import expat

import msgspec
import xmltodict

from gateway.core.charsets import find_charset, is_utf8
from gateway.core.errors import BadBackendReply, NotJson
from gateway.core.packing import UNREADABLE
from gateway.core.variables import keep_number
from gateway.declared.lookup import Lookup, ReplyFormat

MAX_XML_DEPTH = 100
"""Most elements of an XML reply that lie within one another."""

ACCEPTED: dict[ReplyFormat, str] = {
    "json": "application/json",
    "xml": "application/xml, text/xml",
    "text": "text/plain, */*;q=0.5",
    "form": "application/x-www-form-urlencoded, */*;q=0.5",
}
"""The ``Accept`` header by which a reply of each format is asked for."""

_BOMS = ((BOM_UTF8, "utf_8"), (BOM_UTF16_LE, "utf_16_le"), (BOM_UTF16_BE, "utf_16_be"))
_IN_CONTENT_TYPE = re.compile(r""";\s*charset\s*=\s*["']?([^\s;"']+)""", re.IGNORECASE)
_IN_XML_DECLARATION = re.compile(rb"""\s*<\?xml[^>]{0,100}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_PAGE = re.compile(r"(?>\s+|<\?xml[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(r"\s*<[a-z!?]", re.IGNORECASE)
_OF_PAGES = frozenset(("text/html", "application/xhtml+xml"))
_HARDLY_MEANT = "cp1252"  # ISO-8859-1 and US-ASCII: what servers say if nobody tells them
_LONGEST_LABEL = 40

_read_json = msgspec.json.Decoder(float_hook=keep_number).decode


class _Charset(NamedTuple):
    """A codec of Python's, the bytes to skip, and the name that stands in the reply and is not known."""

    codec: str
    skipped: int = 0
    unknown: str = ""


_UTF8 = _Charset("utf_8")


def decode(lookup: Lookup, body: bytes, content_type: str) -> object:
    """Return the value that the ``body`` of a reply to ``lookup`` says; ``content_type`` is its header.

    JSON gives its value, its numbers with their text. XML and a form give objects of texts, and text gives
    itself. Raise BadBackendReply if the reply cannot be read, NotJson if the next one may be better.
    """
    charset = _choose_charset(lookup, body, content_type)
    if lookup.reply == "json" and charset.codec == "utf_8":  # most replies: msgspec reads their bytes
        try:
            return _read_json(body[charset.skipped :] if charset.skipped else body)
        except UNREADABLE:
            pass  # below is said why
    text = _decode_text(lookup, body, charset)
    if not _looks_like(lookup.reply, text) or _is_labelled_page(lookup.reply, text, content_type):
        raise _unreadable(lookup)
    return _READERS[lookup.reply](lookup, text.strip(), charset.codec)


def _choose_charset(lookup: Lookup, body: bytes, content_type: str) -> _Charset:
    for mark, codec in _BOMS:
        if body.startswith(mark):
            return _Charset(codec, len(mark))
    if lookup.charset is not None:
        return _Charset(lookup.charset)
    of_header = _charset_of_header(content_type)
    if of_header is not None and not of_header.unknown and of_header.codec != _HARDLY_MEANT:
        return of_header
    if lookup.reply == "xml" and (found := _IN_XML_DECLARATION.match(body)):
        declared = _charset(found[1].decode())
        return _UTF8 if declared.codec.startswith("utf_16") else declared  # UTF-16 has no such bytes
    if of_header is None or (of_header.codec == _HARDLY_MEANT and is_utf8(body)):
        return _UTF8
    return of_header


@lru_cache(maxsize=128)
def _charset_of_header(content_type: str) -> _Charset | None:
    """Return the charset that a ``Content-Type`` names; None if it names none."""
    found = _IN_CONTENT_TYPE.search(content_type)
    return _charset(found[1]) if found else None


def _charset(label: str) -> _Charset:
    """Return the charset of a name; UTF-8 with that name if it is not known."""
    codec = find_charset(label)
    return _Charset("utf_8", unknown=label) if codec is None else _Charset(codec)


def _decode_text(lookup: Lookup, body: bytes, charset: _Charset) -> str:
    """Return the text of a body; raise BadBackendReply or NotJson if it is not of this charset."""
    encoded = body[charset.skipped :]
    try:
        return encoded.decode(charset.codec)
    except UnicodeDecodeError as error:
        cut_short = error.end == len(encoded)  # the fault is in the last character alone
        if cut_short or not _looks_like(lookup.reply, encoded.decode("latin_1")):
            raise _unreadable(lookup) from None
    named = f", and {charset.unknown[:_LONGEST_LABEL]!a} is no charset that is known" * bool(charset.unknown)
    msg = f"the reply is not {charset.codec.replace('_', '-')}{named}: set `charset` of the backend"
    raise BadBackendReply(msg)


def _looks_like(reply: ReplyFormat, text: str) -> bool:
    """False if ``text`` is a page of HTML, or begins as no text of this format does."""
    start = text.lstrip()[:1]
    if reply == "json":
        return start in set('{["-0123456789tfn')
    if reply == "form":
        return start not in set("{[<")
    return not _PAGE.match(text)


def _is_labelled_page(reply: ReplyFormat, text: str, content_type: str) -> bool:
    """True for markup in the place of a text, if its server calls it a page. Many call plain texts so."""
    media_type = content_type.partition(";")[0].strip().lower()
    return reply == "text" and media_type in _OF_PAGES and _MARKUP.match(text) is not None


def _unreadable(lookup: Lookup) -> NotJson:
    kinds = {"json": "JSON", "xml": "XML", "text": "plain text, but a page", "form": "a form"}
    return NotJson(f"the reply is not {kinds[lookup.reply]}")


def _read_json_text(lookup: Lookup, text: str, _: str) -> object:
    try:
        value: object = _read_json(text)
    except msgspec.ValidationError:
        msg = "the reply has a whole number of more digits than are read"
        raise BadBackendReply(msg) from None
    except UNREADABLE:
        raise _unreadable(lookup) from None
    return value


def _read_xml(lookup: Lookup, text: str, _: str) -> object:
    lists = lookup.force_list

    def is_list(parents: Any, name: str, _: object) -> bool:  # noqa: ANN401 - xmltodict's stubs get it wrong
        return ".".join([*(parent for parent, _ in parents), name]) in lists

    try:
        post = _null_of_nil if ":nil" in text else None  # it costs a call an element
        return xmltodict.parse(
            text, expat=_StrictExpat, force_list=is_list if lists else None, postprocessor=post
        )
    except expat.ExpatError:
        raise _unreadable(lookup) from None


def _null_of_nil(_: object, name: str, value: Any) -> tuple[str, Any]:  # noqa: ANN401 - any value
    """Return an element, null for one that says ``xsi:nil`` (XML Schema, 2.6.2): services of .NET do so."""
    is_empty = isinstance(value, dict) and all(key.startswith("@") for key in value)
    if is_empty and any(key.endswith(":nil") and value[key] in {"true", "1"} for key in value):
        return name, None
    return name, value


class _StrictExpat:
    """What xmltodict uses of expat; a document type declaration, and with it every entity, is refused."""

    @staticmethod
    def ParserCreate(encoding: str | None, separator: str | None) -> "_ShallowParser":  # noqa: N802 - expat's
        parser = expat.ParserCreate(encoding, separator)
        parser.StartDoctypeDeclHandler = _refuse_document_type
        return _ShallowParser(parser)


class _ShallowParser:
    """expat's parser, which stops at the first element that is too deep: xmltodict sees one at its end."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        vars(self).update(parser=parser, depth=0)

    def __getattr__(self, name: str) -> object:
        return getattr(vars(self)["parser"], name)

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any handler
        own = vars(self)

        def start(element: str, attributes: object) -> None:
            own["depth"] += 1
            if own["depth"] > MAX_XML_DEPTH:
                msg = f"the reply has an element within more than {MAX_XML_DEPTH - 1} others"
                raise BadBackendReply(msg)
            value(element, attributes)

        def end(element: str) -> None:
            own["depth"] -= 1
            value(element)

        wrapped = {"StartElementHandler": start, "EndElementHandler": end}
        setattr(own["parser"], name, wrapped.get(name, value))


def _refuse_document_type(*_: object) -> None:
    msg = "the reply has a document type declaration (DTD), which is refused"
    raise BadBackendReply(msg)


def _read_plain_text(_: Lookup, text: str, __: str) -> object:
    return text


def _read_form(_: Lookup, text: str, codec: str) -> object:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, encoding=codec, errors="strict"))
    except UnicodeDecodeError:
        msg = f"the reply has an escape that is not {codec.replace('_', '-')}: set `charset` of the backend"
        raise BadBackendReply(msg) from None


_READERS: dict[ReplyFormat, Callable[[Lookup, str, str], object]] = {
    "json": _read_json_text,
    "xml": _read_xml,
    "text": _read_plain_text,
    "form": _read_form,
}
