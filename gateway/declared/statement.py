"""The SQL of a lookup: one statement that reads, with its parameters."""

import re
from collections.abc import Callable
from dataclasses import dataclass

Report = Callable[[str, str], None]

# Texts, quoted names, comments, PostgreSQL's dollar quotes and casts: no parameter begins in one of them.
_PIECE = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1|::|\\:"
    r"|:(?P<name>[^\W\d]\w*)",
    re.DOTALL,
)
_PATTERN = re.compile(
    r"\b(?:i?like|similar\s+to)\b(?:\s|[(,|+]|''|\w+\s*\()*:(?P<name>[^\W\d]\w*)",
    re.IGNORECASE,
)
_COMMENT = r"(?:--[^\n]*\n|/\*.*?\*/|\s)*"
_READS = re.compile(_COMMENT + r"(?:select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
_PLACE = re.compile(r"\{[^\s{}]+\}")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with ``:name`` parameters, in the order of their first use.

    In ``text`` each other colon has a backslash before it, as SQLAlchemy wants it.
    """

    text: str
    parameters: tuple[str, ...]
    patterns: frozenset[str] = frozenset()
    """Those of them that stand in a pattern, as behind LIKE: a visitor's ``%`` there finds everybody."""

    def __repr__(self) -> str:
        """Leave the text out: it may come from the environment."""
        return f"Statement(parameters={self.parameters})"


def compile_statement(text: str, report: Report) -> Statement:
    """Return what ``text`` means; call ``report(place, message)`` for each fault."""
    names = [match["name"] for match in _PIECE.finditer(text) if match["name"]]
    bare = _PIECE.sub(" ", text)
    if not _READS.match(text):
        report("sql", "must begin with SELECT, WITH, VALUES or TABLE: lookups read")
    if ";" in bare.rstrip().rstrip(";"):
        report("sql", "must be one statement")
    if _PLACE.search(bare):
        report("sql", "takes parameters, such as :orderId, and no {places}: a value is never pasted into SQL")
    without_texts = _PIECE.sub(lambda piece: piece[0] if piece["name"] else "''", text)
    patterns = frozenset(match["name"] for match in _PATTERN.finditer(without_texts))
    return Statement(_escape_colons(text.rstrip().rstrip(";")), tuple(dict.fromkeys(names)), patterns)


def _escape_colons(text: str) -> str:
    """Return a statement in which the parameters alone have a colon without a backslash."""
    escaped, end = "", 0
    for match in _PIECE.finditer(text):
        piece = match[0] if match["name"] else match[0].replace("\\:", ":").replace(":", "\\:")
        escaped += text[end : match.start()].replace(":", "\\:") + piece
        end = match.end()
    return escaped + text[end:].replace(":", "\\:")
