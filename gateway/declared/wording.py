"""What the author of a file reads about a value that does not fit: what belongs there."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

_EXPECTED = re.compile(r"Expected `(.+?)`, got `(.+?)`", re.DOTALL)
_NOT_ONE_OF = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)
_WANTED = {
    "str": "text in quotes",
    "int": "a whole number without quotes",
    "float": "a number without quotes",
    "bool": "true or false",
    "array": "a list in brackets",
    "object": "a table",
}
_GOT = {
    "str": "text",
    "int": "a number",
    "float": "a number with a fraction",
    "bool": "a boolean",
    "array": "a list",
    "object": "a table",
}
_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}


def unknown(word: str, kind: str, names: Iterable[str]) -> str:
    """Return the message that ``word`` is not ``kind``, of which there are ``names``."""
    return f"{word!r} is not {kind}{suggestion(word, names)}"


def suggestion(word: str, names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` if one of ``names`` is close to ``word``, else nothing."""
    plain = {str(name).lower(): str(name) for name in names}
    close = get_close_matches(word.lower(), plain)
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


def known(names: Iterable[str]) -> str:
    """Return ``; known: x, y``, or nothing if there are no names."""
    listed = ", ".join(names)
    return f"; known: {listed}" if listed else ""


def kind_of(value: object) -> str:
    """Return what a value of the file is."""
    return _KINDS.get(type(value), type(value).__name__)


def misplaced(key: str, tables: Mapping[str, Iterable[str]]) -> str:
    """Return where an unknown ``key`` belongs, if one of the ``tables`` inside has it, else nothing."""
    owner = next((name for name, keys in tables.items() if key in keys), None)
    return f"; it belongs into `{owner}`" if owner else ""


def misfit(message: str, hint: Any) -> str:  # noqa: ANN401 - a type, of any form
    """Return msgspec's message about a value in words for people; ``hint`` is the type that was wanted."""
    words = _words_of(hint)
    if found := _NOT_ONE_OF.fullmatch(message):
        return unknown(found[1], f"one of {', '.join(words)}", words)
    if not (found := _EXPECTED.fullmatch(message)):
        return message[:1].lower() + message[1:]
    wanted = f"one of {', '.join(words)}" if words else _listed(found[1])
    return f"expected {wanted}, got {_GOT.get(found[2], found[2])}"


def misfit_of_environment(message: str) -> str:
    """Return the same of a value that the environment gave: no message shows it."""
    found = _EXPECTED.fullmatch(message)
    wanted = f": expected {_listed(found[1])}, and a variable gives text" if found else ""
    return f"the value taken from the environment does not fit here{wanted}"


def _listed(kinds: str) -> str:
    return " or ".join(_WANTED.get(kind, kind) for kind in kinds.split(" | ") if kind != "null")


def _words_of(hint: Any) -> tuple[str, ...]:  # noqa: ANN401 - a type, of any form
    """Return the words of a Literal, also of one that may be left out."""
    inner = [one for one in (hint, *get_args(hint)) if get_origin(one) is Literal]
    return get_args(inner[0]) if inner else ()
