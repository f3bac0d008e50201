"""What is not shown to people: the secrets of the configuration, and whatever is named as secrets are."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from gateway.core.packing import UNREADABLE
from gateway.core.variables import as_json, as_text, keep_number
from gateway.declared.secrets import HIDDEN, forms_of, names_a_secret, secrets_of

SHORTEST = 6
"""Fewest characters of a secret that is hidden wherever it stands: a shorter one stands there by chance."""

SHORTEST_VALUE = 3
"""The same of a value that an app hides."""

_EMPTY: tuple[object, ...] = (None, "", [], {})
_WORD = re.compile(r"[\w-]+")
_BEFORE_VALUE = re.compile(r"[\\\"']*\s*[:=>]")
_ASSIGNED = re.compile(r"""(?<![\w-])([\w-]+)=("[^"]*"|'[^']*'|[^\s&;,"'=][^\s&;,"']*)""")
_ESCAPED = re.compile(r"(?<!\\)\\++u([0-9a-fA-F]{4})")  # once a row of backslashes
_FEWEST_OF_CUT = 4
_read_json = msgspec.json.Decoder(float_hook=keep_number).decode


class Mask:
    """Hides secrets in texts and values. ``names`` are further names whose values are hidden."""

    def __init__(self, secrets: Iterable[str] = (), names: Collection[str] = ()) -> None:
        """Take the secrets."""
        self.names = frozenset(name.lower() for name in names)
        some = "|".join(re.escape(name) for name in sorted(self.names, key=len, reverse=True) if name)
        self._named = re.compile(rf"(?<![\w-])(?:{some})(?![\w-])", re.IGNORECASE) if some else None
        self._forms = _longest_first(secrets, SHORTEST)
        self._secrets = re.compile("|".join(map(re.escape, self._forms))) if self._forms else None
        self._values: tuple[str, ...] = ()

    def also(self, names: Collection[str] = (), values: Iterable[str] = ()) -> "Mask":
        """Return a mask that also hides the values of further names, and further values where they stand."""
        more = Mask(names=self.names | set(names))
        more._forms, more._secrets = self._forms, self._secrets
        more._values = self._values + _longest_first(values, SHORTEST_VALUE)
        return more

    def hides(self, name: str) -> bool:
        """True if the value of this name is hidden, whatever it is."""
        return name.lower() in self.names or names_a_secret(name)

    def names_in(self, text: str) -> bool:
        """True if a hidden name stands in a text of which it cannot be told what belongs to a name.

        One that is a secret's by itself counts before a value alone: ``invalid token`` says nothing.
        """
        return any(
            (self._named is not None and self._named.search(one) is not None)
            or any(
                names_a_secret(word[0]) and _BEFORE_VALUE.match(one, word.end())
                for word in _WORD.finditer(one)
            )
            for one in _spellings(text)
        )

    def text(self, text: str) -> str:
        """Return a text without the secrets that stand in it."""
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text

    def half(self, text: str) -> str:
        """Return the beginning of a text that was cut: at its end may stand the beginning of a secret."""
        text = self.text(text)
        for form in (*self._forms, *self._values):
            for length in range(min(len(form) - 1, len(text)), _FEWEST_OF_CUT - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + HIDDEN
        return text

    def named(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return texts by their names; an empty one hides nothing."""
        return {
            name: HIDDEN if value and self.hides(name) else self._inner(value)
            for name, value in values.items()
        }

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return a decoded value; what stands under a hidden name is hidden as a whole, if there is any."""
        if isinstance(value, dict):
            return {self.text(str(name)): self._under(str(name), one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if isinstance(value, str):
            return self._inner(value)
        if value is None or isinstance(value, bool):
            return value
        return self._number(value)

    def _under(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        return HIDDEN if value not in _EMPTY and self.hides(name) else self.value(value)

    def _number(self, value: Any) -> Any:  # noqa: ANN401 - a number, or what a database has in its place
        try:
            text = as_text(value)
        except (TypeError, ValueError):
            return value
        shown = self.text(text)
        return value if shown == text else shown

    def _inner(self, text: str) -> str:
        """Return a text of a value. It may be JSON, XML, a form or an address, with names of its own."""
        start = text.lstrip()[:1]
        if start and start in "{[":
            try:
                decoded = _read_json(text)
                shown = self.value(decoded)
                return self.text(text) if shown == decoded else as_json(shown)
            except (*UNREADABLE, TypeError, ValueError, RecursionError):
                pass
        if start and start in "{[<":
            return HIDDEN if self.names_in(text) else self.text(text)
        if "=" in text:
            if any(
                found[1].lower() in self.names
                for one in _spellings(text)
                for found in _ASSIGNED.finditer(one)
            ):
                return HIDDEN
            text = _ASSIGNED.sub(_without_value, text)
        return self.text(text)


def mask_of(settings: Any) -> Mask:  # noqa: ANN401 - the root table
    """Return the mask of a configuration."""
    return Mask(secrets_of(settings))


def _without_value(found: re.Match[str]) -> str:
    return f"{found[1]}={HIDDEN}" if names_a_secret(found[1]) else found[0]


def _longest_first(secrets: Iterable[str], shortest: int) -> tuple[str, ...]:
    forms = {form for secret in secrets for form in forms_of(secret) if len(form) >= shortest}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _spellings(text: str) -> Iterator[str]:
    """Yield a text, and what it says without the escapes of JSON and of forms: names may be escaped, too."""
    yield text
    if "\\u" in text:
        yield _ESCAPED.sub(lambda code: chr(int(code[1], 16)), text)
    if "%" in text:
        yield unquote_plus(text)
