"""What is not shown to people: the secrets of the configuration, and whatever is named as secrets are."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

from gateway.declared.reading import Secret, plain
from gateway.declared.values import split_url

HIDDEN = "•••"

SHORTEST = 6
"""Fewest characters of a text that is hidden wherever it stands: a shorter one stands there by chance."""

_SECRET_NAME = re.compile(
    r"authori[sz]ation|cookie|token|secret|passw|pwd|passphrase|credential|api[_-]?key|access[_-]?key"
    r"|private[_-]?key|signature|^sign$|^auth$|^pin$",
    re.IGNORECASE,
)
_ADDRESSES = frozenset(("url", "token_url", "proxy"))
_SHOWN = frozenset(("path", "sql"))  # what is asked; no key stands there


class Mask:
    """Hides secrets in texts and values. ``names`` are further names whose values are hidden."""

    def __init__(self, secrets: Iterable[str] = (), names: Collection[str] = ()) -> None:
        """Take the secrets."""
        self.names = frozenset(name.lower() for name in names)
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def also(self, names: Collection[str]) -> "Mask":
        """Return a mask that hides the values of further names, too."""
        more = Mask(names=self.names | set(names))
        more._secrets = self._secrets
        return more

    def hides(self, name: str) -> bool:
        """True if the value of this name is hidden, whatever it is."""
        return name.lower() in self.names or _SECRET_NAME.search(name) is not None

    def text(self, text: str) -> str:
        """Return a text without the secrets that stand in it."""
        return text if self._secrets is None else self._secrets.sub(HIDDEN, text)

    def named(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return texts by their names; an empty one hides nothing."""
        return {
            name: HIDDEN if value and self.hides(name) else self.text(value) for name, value in values.items()
        }

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return a decoded value; what stands under a secret's name is hidden as a whole."""
        if isinstance(value, dict):
            return {
                name: HIDDEN if one and self.hides(str(name)) else self.value(one)
                for name, one in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return self.text(value) if isinstance(value, str) else value


def mask_of(settings: Any) -> Mask:  # noqa: ANN401 - the root table
    """Return the mask of a configuration: its credentials, and all texts that come from the environment.

    Of an address, user and password are hidden alone: where a question goes must be seen.
    """
    return Mask(_secrets(settings, ""))


def _secrets(value: object, name: str) -> Iterator[str]:
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _secrets(getattr(value, field), field)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _secrets(one, str(key))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _secrets(one, name)
    elif isinstance(value, str):
        url = split_url(value) if name in _ADDRESSES else None
        if url is not None and url.password:
            yield url.password
        elif isinstance(value, Secret) and name not in _ADDRESSES | _SHOWN:
            yield plain(value)


def _forms(secret: str) -> set[str]:
    """Return a secret as it stands in texts, in addresses, in forms and in JSON."""
    as_json = msgspec.json.encode(secret).decode()[1:-1]
    return {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), as_json}
