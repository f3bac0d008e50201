"""Names of charsets, as HTTP headers, XML declarations and people write them."""

from encodings.aliases import aliases

_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "cp950",
    "shift_jis": "cp932",
    "windows_31j": "cp932",
    "euc_kr": "cp949",
    "latin_1": "cp1252",
    "ascii": "cp1252",
    "iso8859_9": "cp1254",
    "tis_620": "cp874",
}
"""Who names one of these often writes the wider one. Browsers read them so, too (WHATWG, Encoding)."""

_READ = {
    *(
        "utf_8",
        "utf_16",
        "utf_16_be",
        "utf_16_le",
        "gb18030",
        "cp950",
        "big5hkscs",
        "cp932",
        "euc_jp",
        "cp949",
    ),
    *("cp437", "cp850", "cp852", "cp855", "cp857", "cp866", "cp874", "koi8_r", "koi8_u", "mac_roman"),
    *(f"cp125{number}" for number in range(9)),
    *(f"iso8859_{number}" for number in (2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 14, 15, 16)),
}
"""Python's names of the charsets that are read. Some of its codecs are no charsets: ``zlib``, ``idna``."""


def find_charset(label: str) -> str | None:
    """Return the name of Python's codec that reads the charset ``label``; None if there is none.

    Case and punctuation do not count: ``UTF-8`` and ``utf8`` are one charset.
    """
    plain = _plain(label)
    return _BY_LABEL.get(plain) or _BY_LABEL.get(plain.removeprefix("x"))


def _plain(label: str) -> str:
    return "".join(filter(str.isalnum, label.lower()))


def _labels() -> dict[str, str]:
    """Return the codec of each label."""
    found = {_plain(name): name for name in _READ}
    found |= {_plain(label): wider for label, wider in _WIDER.items()}
    for alias, codec in aliases.items():
        read = _WIDER.get(codec, codec)
        if read in _READ:
            found[_plain(alias)] = read
    return found


_BY_LABEL = _labels()


def is_utf8(body: bytes) -> bool:
    """True if bytes can be read as UTF-8, which others hardly ever can."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
