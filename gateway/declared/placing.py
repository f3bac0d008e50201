"""The table ``place`` of credentials: where in a request they stand."""

from collections.abc import Iterator

from gateway.declared.reading import Fault
from gateway.declared.values import CONTROL, HEADER_NAME, Table

TOKEN = "{token}"  # noqa: S105 - the place of one

_KINDS = ("header", "query", "form", "json")


class PlaceTable(Table, frozen=True, kw_only=True):
    """Exactly one place; ``text`` is what stands there, with ``{token}`` for the credentials."""

    header: str | None = None
    query: str | None = None
    form: str | None = None
    json: str | None = None
    text: str = TOKEN

    @property
    def where(self) -> tuple[str, str]:
        """The kind of place and its name."""
        return next((kind, name) for kind in _KINDS if (name := getattr(self, kind)) is not None)


BEARER = PlaceTable(header="Authorization", text=f"Bearer {TOKEN}")
"""RFC 6750."""


def check_place(path: str, place: PlaceTable | None) -> Iterator[Fault]:
    """Yield the contradictions of the table at ``path``; None is a table that could not be read."""
    if place is None:
        return
    named = [kind for kind in _KINDS if getattr(place, kind) is not None]
    if len(named) != 1:
        yield Fault(
            path, "needs one of `header`, `query`, `form` and `json`, for example { query = 'apikey' }"
        )
        return
    kind, name = place.where
    if kind == "header" and not HEADER_NAME.fullmatch(name):
        yield Fault(f"{path}.header", "a header's name is letters, digits and hyphens")
    elif not name:
        yield Fault(f"{path}.{kind}", "must not be empty")
    if TOKEN not in place.text or CONTROL.search(place.text):
        yield Fault(f"{path}.text", f"must hold {TOKEN}, and no control character")
