"""Names of charsets: which are read, and by which codec."""

import pytest

from gateway.core.charsets import find_charset


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        *((label, "utf_8") for label in ("UTF-8", "utf8", "Utf_8", "U8")),
        *(
            (label, "gb18030")
            for label in ("GBK", "gbk", "GB2312", "gb_2312-80", "GB18030", "x-gbk", "cp936")
        ),
        *((label, "cp1252") for label in ("ISO-8859-1", "iso8859-1", "latin1", "us-ascii", "windows-1252")),
        *((label, "cp932") for label in ("Shift_JIS", "sjis", "x-sjis", "ms932", "Windows-31J")),
        ("Big5", "cp950"),
        ("EUC-KR", "cp949"),
        ("UTF-16", "utf_16"),
        ("UTF-16LE", "utf_16_le"),
        ("ISO-8859-15", "iso8859_15"),
        ("KOI8-R", "koi8_r"),
        ("windows-1251", "cp1251"),
    ],
)
def test_a_charset_is_known_by_every_name_that_servers_write(label: str, codec: str) -> None:
    """A name of an older charset means the wider one of today, as browsers have it."""
    assert find_charset(label) == codec


@pytest.mark.parametrize(
    "label",
    [
        *("zlib", "bz2", "hex", "base64", "uu", "quopri", "rot13", "rot_13", "zip"),
        *("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem", "palmos"),
        *("utf-7", "unicode-1-1-utf-7", "hz", "iso-2022-jp", "iso2022_kr"),
        *(
            "",
            "x",
            "-",
            "nonsense",
            "utf-9",
            "客",
            "utf-8\0x",
            "u" * 100_000,
            "../aliases",
            "os",
        ),
    ],
    ids=lambda label: ascii(label[:20]),
)
def test_a_codec_that_is_no_charset_cannot_be_reached(label: str) -> None:
    """The label comes with a reply: no codec that unpacks, resolves or runs into modules may answer to it."""
    assert find_charset(label) is None


@pytest.mark.parametrize("narrow", ["gbk", "gb2312"])
def test_the_wider_charset_reads_what_the_older_one_wrote(narrow: str) -> None:
    """Two characters of GB 2312 apart, for which Python alone has others: the middle dot and the dash."""
    codec = find_charset(narrow)
    assert codec is not None
    other = {}
    for pair in (bytes([high, low]) for high in range(0x81, 0xFF) for low in range(0x40, 0xFF)):
        try:
            text = pair.decode(narrow)
        except UnicodeDecodeError:
            continue
        if pair.decode(codec) != text:
            other[pair.hex()] = pair.decode(codec)
    assert other in ({}, {"a1a4": "·", "a1aa": "—"})
