"""How a lookup asks: a request over HTTP, a statement in SQL, or a function of Python."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.declared.backend import FUNCTION, Backend
from gateway.declared.reading import Fault
from gateway.declared.wording import known, unknown

WAYS = {"request": "http", "sql": "sql", "python": "python"}
"""Each way to ask, and the kind of backend that it takes."""


def check_question(path: str, lookup: Any, backends: Mapping[str, Backend]) -> Iterator[Fault]:  # noqa: ANN401
    """Yield the contradictions of how a lookup's table asks."""
    ways = [way for way in WAYS if getattr(lookup, way) is not None]
    if len(ways) != 1:
        about = tuple(f"{path}.{way}" for way in WAYS)
        yield Fault(path, "needs `request` or `sql` (each with `backend`), or `python`", about)
    elif lookup.backend is None and ways != ["python"]:
        yield Fault(f"{path}.backend", f"missing{known(backends)}")
    elif (backend := backends.get(lookup.backend)) is not None and backend.speaks != WAYS[ways[0]]:
        message = f"a lookup with `{ways[0]}` takes {_KINDS[WAYS[ways[0]]]}"
        yield Fault(f"{path}.backend", message, (f"backends.{lookup.backend}",))
    elif backend is not None and lookup.request is not None:
        yield from _check_credentials(path, lookup, backend)
    if lookup.backend is not None and lookup.backend not in backends:
        yield Fault(f"{path}.backend", unknown(lookup.backend, "a backend", backends))
    yield from _check_reply(path, lookup)


def _check_credentials(path: str, lookup: Any, backend: Backend) -> Iterator[Fault]:  # noqa: ANN401
    """Yield that a request has no body for credentials which stand in one. A text may be such a body."""
    place, request = getattr(backend.auth, "place", None), lookup.request
    if place is None or request.body is not None:
        return
    about = (f"backends.{lookup.backend}.auth.place",)
    if place.form is not None and request.form is None:
        yield Fault(f"{path}.request.form", "missing: the credentials of its backend stand in a form", about)
    if place.json is not None and not isinstance(request.json, dict):
        message = "missing: the credentials of its backend stand in a JSON object"
        yield Fault(f"{path}.request.json", message, about)


def _check_reply(path: str, lookup: Any) -> Iterator[Fault]:  # noqa: ANN401
    """Yield what is for one way to ask alone."""
    if lookup.python is not None and not FUNCTION.fullmatch(lookup.python):
        yield Fault(f"{path}.python", "must name a function, for example 'mycrm.lookups:churn'")
    if lookup.options and lookup.python is None:
        yield Fault(f"{path}.options", "is for a Python lookup alone")
    if lookup.rows != "first" and lookup.sql is None:
        yield Fault(f"{path}.rows", "is for `sql` alone")
    if lookup.request is None and lookup.reply != "json":
        yield Fault(
            f"{path}.reply", "is for a `request` alone: all else returns values, and no text to be read"
        )
    elif lookup.force_list and lookup.reply != "xml":
        yield Fault(f"{path}.force_list", "is for reply = 'xml' alone", (f"{path}.reply",))
    if "" in lookup.force_list:
        yield Fault(f"{path}.force_list", "a path must not be empty")


_KINDS = {
    "http": "a backend with an http:// or https:// address",
    "sql": "a backend with a postgresql://, mysql:// or sqlite:/// address",
    "python": "a backend with kind = 'python', or none",
}
