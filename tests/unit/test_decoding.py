"""From the bytes of a reply to a value: charsets, formats, and which fault is worth another attempt."""

import time
from contextlib import suppress

import jmespath
import pytest

from gateway.core.errors import BadBackendReply, NotJson
from gateway.declared.lookup import Lookup, ReplyFormat
from gateway.lookups.decoding import MAX_XML_DEPTH, decode

GBK_CUSTOMER = bytes.fromhex("7b226e616d65223a22bfcdbba7227d")
GBK_SHI_YI = bytes.fromhex("7b226e616d65223a22caafd2bb227d")
"""A name in GBK whose bytes are UTF-8, too, and other letters there."""

CUSTOMER = '{"name":"客户"}'
JSON = "application/json"


def lookup(
    reply: ReplyFormat = "json", charset: str | None = None, force_list: tuple[str, ...] = ()
) -> Lookup:
    """Return a lookup that reads replies of this format."""
    variables = {"name": jmespath.compile("name")}
    return Lookup(
        "order", "crm", "v1", (), variables, reply=reply, charset=charset, force_list=frozenset(force_list)
    )


@pytest.mark.parametrize(("body", "value"), [(b"{}", {}), (b"null", None), (b' [1, "\xc3\xa9"] ', [1, "é"])])
def test_json_is_decoded(body: bytes, value: object) -> None:
    """The reply may have any type: the expressions decide what it gives."""
    assert decode(lookup(), body, JSON) == value


@pytest.mark.parametrize(
    ("body", "content_type", "name"),
    [
        (GBK_CUSTOMER, "application/json;charset=GBK", "客户"),
        (GBK_SHI_YI, "application/json;charset=GBK", "石一"),
        (GBK_CUSTOMER, "text/html;charset=GBK", "客户"),
        (GBK_CUSTOMER, "text/html; Charset = 'gb2312'", "客户"),
        (GBK_CUSTOMER, 'text/html; boundary=x; charset="GB2312"; q=1', "客户"),
        ('{"name":"镕𠮷"}'.encode("gb18030"), "application/json; charset=gb18030", "镕𠮷"),
        ('{"name":"镕"}'.encode("gb18030"), "application/json; charset=gb2312", "镕"),
        ('{"name":"許功蓋"}'.encode("cp950"), "application/json; charset=Big5", "許功蓋"),
        ('{"name":"ソ表"}'.encode("cp932"), "application/json; charset=Shift_JIS", "ソ表"),
        ('{"name":"Zoë"}'.encode("latin-1"), "application/json; charset=ISO-8859-1", "Zoë"),
        ('{"name":"Zoë €"}'.encode("cp1252"), "application/json; charset=ISO-8859-1", "Zoë €"),
        ('{"name":"Zoë"}'.encode(), "application/json; charset=ISO-8859-1", "Zoë"),
        (CUSTOMER.encode(), "application/json; charset=us-ascii", "客户"),
        (CUSTOMER.encode(), JSON, "客户"),
        (CUSTOMER.encode(), "", "客户"),
        (CUSTOMER.encode(), "nonsense", "客户"),
        (CUSTOMER.encode(), "application/json; charset=", "客户"),
        (CUSTOMER.encode(), "application/json; charset=utf8mb4", "客户"),
        (CUSTOMER.encode(), "application/json; charset=zlib", "客户"),
        (CUSTOMER.encode("utf-8-sig"), JSON, "客户"),
        (CUSTOMER.encode("utf-8-sig"), "application/json; charset=GBK", "客户"),
        (CUSTOMER.encode("utf-16"), JSON, "客户"),
        (b"\xfe\xff" + CUSTOMER.encode("utf-16-be"), JSON, "客户"),
        (CUSTOMER.encode("utf-16"), "application/json; charset=utf-8", "客户"),
        (CUSTOMER.encode("utf-16"), "application/json; charset=utf-16", "客户"),
        (CUSTOMER.encode("utf-16-be"), "application/json; charset=utf-16be", "客户"),
    ],
)
def test_a_reply_is_read_in_its_charset(body: bytes, content_type: str, name: str) -> None:
    """A user reads their own name, not the letters of another charset."""
    assert decode(lookup(), body, content_type) == {"name": name}


@pytest.mark.parametrize(
    "content_type", [JSON, "", "text/html; charset=utf-8", "application/json; charset=x"]
)
@pytest.mark.parametrize(("body", "name"), [(GBK_CUSTOMER, "客户"), (GBK_SHI_YI, "石一")])
def test_the_backends_declared_charset_comes_before_its_header(
    content_type: str, body: bytes, name: str
) -> None:
    """It is set where the header is wrong, and the bytes may be UTF-8 by chance."""
    assert decode(lookup(charset="gb18030"), body, content_type) == {"name": name}


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (GBK_CUSTOMER, JSON, r"^the reply is not utf-8: set `charset` of the backend$"),
        (b' {"a": "\xff"}', "", "not utf-8"),
        (b'"\xe9t\xe9"', "", "not utf-8"),
        (b'{"a": "\xff"}', "application/json; charset=GBK", "not gb18030"),
        (b'{"a": "\x81"}', "application/json; charset=latin-1", "not cp1252"),
        (GBK_CUSTOMER, "application/json; charset=x-user-defined", "'x-user-defined' is no charset"),
        (GBK_CUSTOMER, "application/json; charset=\x1b[2J\xff" + "a" * 99, r"'\\x1b\[2J\\xffa{35}' is no"),
        (GBK_CUSTOMER, "application/json; charset=zlib", "'zlib' is no charset"),
        (b"1" * 10_000, JSON, "more digits than are read"),
    ],
    ids=range(9),
)
def test_a_reply_in_another_charset_is_bad_at_once(body: bytes, content_type: str, reason: str) -> None:
    """The next reply will be in the same charset. The reason says what to do, and is one short line."""
    with pytest.raises(BadBackendReply, match=reason) as caught:
        decode(lookup(), body, content_type)
    assert not caught.value.transient
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        *(
            (body, JSON)
            for body in (b"", b"<html>", b"{", b"[" * 100_000, b"{} {}", b"{}\0", b"\xef\xbb\xbf")
        ),
        *(
            (body, JSON)
            for body in (b"NaN", b"-Infinity", b'{"a":Infinity}', b"01", b"1.", b".5", b"+1", b"-")
        ),
        *((body, JSON) for body in (b'"\\ud800"', b'["\\udc00"]', b"\xef\xbb\xbf\xef\xbb\xbf{}", b"'a'")),
        (CUSTOMER.encode()[:-4], JSON),  # cut in the middle of a character
        (GBK_CUSTOMER[:-3], "application/json; charset=GBK"),
        (CUSTOMER.encode("utf-16")[:-1], JSON),
        ("<html>Das Gerät".encode("latin-1"), "text/html"),
        ("<html>系统维护中</html>".encode("gbk"), "text/html"),
        ("Zugriff verweigert für Sie".encode("latin-1"), "text/plain"),
    ],
)
def test_a_page_or_a_reply_that_was_cut_short_is_worth_another_attempt(
    body: bytes, content_type: str
) -> None:
    """A proxy's page passes, and the next reply may be whole."""
    with pytest.raises(NotJson, match=r"^the reply is not JSON$") as caught:
        decode(lookup(), body, content_type)
    assert caught.value.transient


def test_of_equal_names_the_last_one_counts() -> None:
    """RFC 8259 leaves it open; most decoders do so."""
    assert decode(lookup(), b'{"a":1,"a":2.50}', JSON) == {"a": 2.5}


ORDERS = """<?xml version="1.0" encoding="%s"?>
<!-- from the ERP -->
<orders xmlns:x="urn:x">
<order id="7"><name>客户 &amp; &lt;Co&gt;</name><total>29.90</total><x:note/></order>
</orders>
"""
READ = {"@id": "7", "name": "客户 & <Co>", "total": "29.90", "x:note": None}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ((ORDERS % "UTF-8").encode(), "text/xml"),
        ((ORDERS % "GBK").encode("gbk"), "text/xml"),
        ((ORDERS % "gb2312").encode("gbk"), "application/xml"),
        ((ORDERS % "UTF-8").encode("gbk"), "text/xml; charset=GBK"),
        ((ORDERS % "GBK").encode("utf-8-sig"), "text/xml; charset=GBK"),
        ((ORDERS % "utf-16").encode("utf-16"), "text/xml"),
        ((ORDERS % "utf-16").encode(), "text/xml"),
        ((ORDERS % "GBK").encode("gbk"), "text/xml; charset=ISO-8859-1"),
        ((ORDERS % "GBK").encode("gbk"), "text/xml; charset=x-unknown"),
        ((ORDERS % "UTF-8").encode(), "text/xml; charset=x-unknown"),
        ((ORDERS % "utf-16").encode("utf-16-le"), "text/xml; charset=utf-16le"),
        (b"\n " + (ORDERS % "GBK").encode("gbk"), "text/xml"),
        ((ORDERS % "nonsense").encode(), "text/xml"),
        ((ORDERS % "zlib").encode(), "text/xml"),
    ],
    ids=range(14),
)
def test_xml_is_an_object_of_texts(body: bytes, content_type: str) -> None:
    """The charset is the byte order mark's, else the header's, else the declaration's (RFC 7303, 3)."""
    assert decode(lookup("xml"), body, content_type) == {
        "orders": {"@xmlns:x": "urn:x", "order": READ},
    }


def test_xml_in_a_charset_that_is_not_known_is_bad_at_once() -> None:
    """The reason names it."""
    with pytest.raises(BadBackendReply, match=r"not utf-8, and 'nonsense' is no charset") as caught:
        decode(lookup("xml"), (ORDERS % "nonsense").encode("gbk"), "text/xml")
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("forced", "body", "value"),
    [
        (("orders.order",), b"<orders><order>1</order></orders>", {"orders": {"order": ["1"]}}),
        (("orders.order",), b"<orders><order>1</order><order/></orders>", {"orders": {"order": ["1", None]}}),
        (("orders.order",), b"<order><order>1</order></order>", {"order": {"order": "1"}}),
        (("order",), b"<orders><order>1</order></orders>", {"orders": {"order": "1"}}),
        (("orders",), b"<orders/>", {"orders": [None]}),
        (("a.b", "a.b.c"), b"<a><b><c/></b></a>", {"a": {"b": [{"c": [None]}]}}),
        (("a.b.c",), b"<a.b><c>1</c></a.b>", {"a.b": {"c": ["1"]}}),
        ((), b"<orders><order>1</order><order>2</order></orders>", {"orders": {"order": ["1", "2"]}}),
    ],
)
def test_a_single_element_is_a_list_where_that_is_declared(
    forced: tuple[str, ...], body: bytes, value: object
) -> None:
    """An order alone must not be read by another expression than two orders."""
    assert decode(lookup("xml", force_list=forced), body, "") == value


BOMB = '<!DOCTYPE a [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>'


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        '<?xml version="1.0"?>' + BOMB,
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd"> %p;]><a/>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd"><a/>',
        "<!DOCTYPE a><a/>",
        '<!DOCTYPE a [<!ATTLIST a b CDATA "secret">]><a/>',
        "<a>" * (MAX_XML_DEPTH + 1) + "</a>" * (MAX_XML_DEPTH + 1),
    ],
)
def test_xml_that_grows_or_reaches_out_is_refused(document: str) -> None:
    """A reply must open no file, make no request and fill no memory."""
    with pytest.raises(BadBackendReply) as caught:
        decode(lookup("xml"), document.encode(), "text/xml")
    assert not caught.value.transient


def test_xml_may_be_as_deep_as_the_limit() -> None:
    """The limit is what the table of limits says."""
    value = decode(lookup("xml"), b"<a>" * MAX_XML_DEPTH + b"</a>" * MAX_XML_DEPTH, "")
    for _ in range(MAX_XML_DEPTH - 1):
        assert isinstance(value, dict)
        value = value["a"]
    assert value == {"a": None}


@pytest.mark.parametrize(
    "body",
    [
        b"<a>" * 150_000 + b"</a>" * 150_000,
        b"<a>" * 300_000,
        b"<a" + b"".join(b' b%d=""' % i for i in range(100_000)) + b"/>",
        b"<a>" + b"<b/>" * 200_000 + b"</a>",
        b"<a>" + b"&#65;" * 200_000 + b"</a>",
    ],
    ids=["deep", "open", "attributes", "wide", "references"],
)
def test_a_large_document_takes_no_more_than_its_share_of_time(body: bytes) -> None:
    """A megabyte must cost a fraction of a second, whatever it is: other lookups of the worker wait."""
    began = time.process_time()
    with suppress(BadBackendReply):
        decode(lookup("xml", force_list=("a.b",)), body, "")
    assert time.process_time() - began < 10.0  # what is not linear takes minutes


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{}",
            b"<a>",
            b"<a></b>",
            b"<a/><b/>",
            b"text",
            b"<a>&nothing;</a>",
            b"<a>\0</a>",
            b"<a>&#xD800;</a>",
        ),
        *(
            b"<!DOCTYPE html><p>",
            b"<html><body/></html>",
            b"<!-- down for maintenance --><html><body/></html>",
            b'<?xml version="1.0"?>\n<!DOCTYPE HTML PUBLIC "x">',
        ),
        "<html>Das Gerät</html>".encode("latin-1"),
        (ORDERS % "UTF-8").encode()[:-50],
    ],
)
def test_what_is_not_xml_is_worth_another_attempt(body: bytes) -> None:
    """A page, or half of a document; XHTML is a page, too."""
    with pytest.raises(NotJson, match="not XML"):
        decode(lookup("xml"), body, "text/html")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"shipped", "text/plain", "shipped"),
        (b"  shipped\r\n", "text/html", "shipped"),
        ("已发货\n".encode("gbk"), "text/plain; charset=gb2312", "已发货"),
        ("已发货".encode("utf-8-sig"), "", "已发货"),
        (b"007", "", "007"),
        (b"29.90", "", "29.90"),
        (b"null", "", "null"),
        (b" \n", "", ""),
        (b'{"a":1}', "", '{"a":1}'),
        (b"<status>ok</status>", "", "<status>ok</status>"),
    ],
)
def test_plain_text_is_itself_without_the_space_around_it(body: bytes, content_type: str, text: str) -> None:
    """A script of three lines answers so; most end with a line break."""
    assert decode(lookup("text"), body, content_type) == text


def test_an_element_that_is_nil_is_null() -> None:
    """Services of .NET write null so; a visitor was told ``{"@xsi:nil":"true"}``."""
    names = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
    body = f"""<order {names}><status i:nil="true"/><total currency="EUR" i:nil="1" />
        <note i:nil="false">x</note><item nil="true"/><item i:nil="true"/></order>"""
    order = decode(lookup("xml"), body.encode(), "text/xml")["order"]  # type: ignore[index]
    assert (order["status"], order["total"]) == (None, None)
    assert order["note"]["#text"] == "x"
    assert order["item"] == [{"@nil": "true"}, None]


def test_a_long_comment_costs_no_time() -> None:
    """Nor do many of them in front of what is no page."""
    body = b"<!-- a -->" * 20_000 + b"gold"
    begun = time.process_time()
    assert decode(lookup("text"), body, "text/plain") == body.decode()
    assert time.process_time() - begun < 3.0


@pytest.mark.parametrize("reply", ["text", "form"])
@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html>\n<p>",
        b" <HTML lang=en>",
        b"<html>",
        "<html>für".encode("latin-1"),
        b"<!-- a -->\n<!-- b -->\n<!doctype html>",
        b"<head><title>502 Bad Gateway</title></head>",
        b"<h1>Bad Gateway</h1>",
    ],
)
def test_a_page_is_no_text_and_no_form(reply: ReplyFormat, body: bytes) -> None:
    """A user must never be told the markup of a gateway's error page."""
    with pytest.raises(NotJson, match="the reply is not"):
        decode(lookup(reply), body, "text/html")


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b"a=1&b=2", "", {"a": "1", "b": "2"}),
        (b"a=1&a=2", "", {"a": "2"}),
        (b"a=&b&c=+x%20y%2B\r\n", "", {"a": "", "b": "", "c": " x y+"}),
        (b"name=%E5%AE%A2", "application/x-www-form-urlencoded", {"name": "客"}),
        (b"name=%BF%CD", "application/x-www-form-urlencoded; charset=GBK", {"name": "客"}),
        ("name=客".encode("gbk"), "application/x-www-form-urlencoded; charset=GBK", {"name": "客"}),
        (b"", "", {}),
    ],
)
def test_a_form_is_an_object_of_texts(body: bytes, content_type: str, value: object) -> None:
    """Older payment services answer so."""
    assert decode(lookup("form"), body, content_type) == value


def test_a_form_with_escapes_of_another_charset_is_bad_at_once() -> None:
    """As a body is."""
    with pytest.raises(BadBackendReply, match=r"not utf-8: set `charset`") as caught:
        decode(lookup("form"), b"name=%BF%CD", "")
    assert not caught.value.transient


@pytest.mark.parametrize("body", [b'{"a":1}', b"[1]", b"<a/>"])
def test_another_format_is_no_form(body: bytes) -> None:
    """It would be a form with one odd name, and every variable empty."""
    with pytest.raises(NotJson, match="not a form"):
        decode(lookup("form"), body, "")
