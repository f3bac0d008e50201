"""Templates: text with ``{Variable}`` places; no value filled in can change the text's structure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter
from urllib.parse import quote

_NAME = re.compile(r"[^\s{}\[\]!:]+")
# RFC 3986, 3.3: the characters that a path holds unencoded; "%" because authors write encoded paths.
_PATH_SAFE = "/%:@!$&'()*+,;=-._~"
_HEADER_SAFE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and variable names in turn; :meth:`fill` puts encoded values between the literals."""

    parts: tuple[tuple[str, str | None], ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the variables that the template reads, in the order of their places."""
        return tuple(name for _, name in self.parts if name is not None)

    def __repr__(self) -> str:
        """Leave the literals out: they may come from the environment."""
        return f"Template(inputs={self.inputs})"

    def fill(self, values: Mapping[str, str], encode: Callable[[str], str]) -> str:
        """Return the text with each place holding its encoded value; raise KeyError if one is absent."""
        return "".join(
            literal if name is None else literal + encode(values[name]) for literal, name in self.parts
        )


def parse_template(text: str) -> Template:
    """Return ``text`` as a template (``{{`` and ``}}`` are braces); raise ValueError if it is none."""
    parts: list[tuple[str, str | None]] = []
    for literal, name, spec, conversion in Formatter().parse(text):
        if name is not None and (spec or conversion or not _NAME.fullmatch(name)):
            msg = "a place does not hold a variable's name; write for example {orderId}"
            raise ValueError(msg)
        parts.append((literal, name))
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


def fill_path(template: Template, values: Mapping[str, str]) -> str:
    """Return the encoded path; raise ValueError if a value would make a segment ``.`` or ``..``.

    Such a segment moves up or stays in the tree even when it is percent-encoded (WHATWG URL, "double-dot
    path segment"), so no encoding makes it safe.
    """
    literals = Template(tuple((quote(literal, safe=_PATH_SAFE), name) for literal, name in template.parts))
    path = literals.fill(values, encode_segment)
    for segment in path.split("/"):
        if segment.upper().replace("%2E", ".") in {".", ".."}:
            msg = "an input would make the path climb"
            raise ValueError(msg)
    return path
