"""The configuration as it runs: the tables as their author wrote them, without secrets. Pure."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from gateway.declared.app import AppTable
from gateway.declared.mask import Mask, mask_of
from gateway.declared.secrets import HIDDEN, hide_in_address
from gateway.declared.values import Table

_BY_NAME = re.compile(r"\$\{[^{}]*\}")  # a variable of the environment, or a file: its name is no secret

_WORDS = frozenset(
    get_args(AppTable.__annotations__["signature"])
)  # of settings that are named as secrets are


def as_it_runs(content: bytes, settings: Table) -> dict[str, Any]:
    """Return the tables of a file that is in use. ``settings`` is what was made of it."""
    tables = tomllib.loads(content.decode().removeprefix("\ufeff"))
    shown: dict[str, Any] = _shown(tables, mask_of(settings))
    return shown


def _shown(value: object, mask: Mask, *, hidden: bool = False) -> Any:  # noqa: ANN401 - any TOML value
    """Return a value; of a ``hidden`` one the shape alone, and the names of variables."""
    if isinstance(value, Mapping):
        return {name: _shown(one, mask, hidden=hidden or mask.hides(name)) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_shown(one, mask, hidden=hidden) for one in value]
    if isinstance(value, str):
        if _BY_NAME.fullmatch(value) or value in _WORDS:
            return value
        return HIDDEN if hidden and value else mask.text(hide_in_address(value))
    return value if isinstance(value, bool | int | float) and not hidden else HIDDEN if hidden else str(value)
