"""The version of a lookup: it changes with the question and with what its reply means."""

from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from gateway.declared.backend import Backend
from gateway.declared.reading import encode_meant, encode_written, plain
from gateway.declared.values import Table

NOT_IN_VERSION = frozenset(
    (
        *("fresh", "not_found_fresh", "stale_while_revalidate", "stale_if_error"),  # for how long it is used
        *("share", "fallback"),  # who else may use it; what goes out without it
        *("when", "internal"),  # whether it is asked for, and what of the answer is told
        "hedge",  # how often it is asked for at a time
        "accept",  # the answer belongs to the inputs in their one form
    )
)
"""Settings of a lookup that do not change what its answer means. Every other setting does."""

BACKEND_NOT_IN_VERSION = frozenset(
    (
        "auth",  # who asks; credentials are renewed
        *("tls", "proxy"),  # how it is reached
        *("attempt_timeout", "attempts", "concurrency", "max_reply"),  # how gently it is asked
        *("keep_alive", "idle_before_reuse"),  # and on which connections
        "close",  # how its process ends
        *("breaker", "rate", "burst", "retry_after_max", "retry_budget"),  # and when it is left alone
    )
)
"""The same of a lookup's backend."""

_MAY_HAVE_KEYS = frozenset(("url", "request", "options"))
"""Settings in which a key may stand."""


def version_of(
    table: Any,  # noqa: ANN401 - a LookupTable, which imports this
    backend: Backend | None,
    backends: Mapping[str, Backend],
) -> str:
    """Return a digest of all that decides what is asked and what the answer means.

    Settings at their defaults take no part, so a new release with a new setting keeps all versions. A text of
    the environment takes part as it is: another statement or expression is another one, also if it stands in
    a file. But where a key may stand, it takes part by its variable's name, so that a renewed key asks the
    same question. In a path stands no key.

    A Python lookup may ask each of the ``backends`` that speak HTTP, and get what their rules call an answer.
    """
    path = plain(table.request.path) if table.request is not None else None
    declared: list[object] = [
        path,
        _changed(table, NOT_IN_VERSION),
        _changed(backend, BACKEND_NOT_IN_VERSION),
    ]
    asked = {name: one for name, one in backends.items() if one.speaks == "http"}
    if table.python is not None and asked:
        declared.append({name: _changed(one, BACKEND_NOT_IN_VERSION) for name, one in asked.items()})
    return blake2b(encode_written(declared), digest_size=4).hexdigest()


def usual_of(field: Any) -> Any:  # noqa: ANN401 - a field of msgspec, any value
    """Return the default of a setting; a mutable one is made anew each time."""
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _changed(table: Table | None, without: Collection[str]) -> dict[str, Any]:
    """Return the settings of a table that differ from their defaults."""
    fields = msgspec.structs.fields(table) if table is not None else ()
    settings = {field.name: (getattr(table, field.name), usual_of(field)) for field in fields}
    return {
        name: value if name in _MAY_HAVE_KEYS else msgspec.Raw(encode_meant(value))
        for name, (value, usual) in settings.items()
        if value != usual and name not in without
    }
