"""The tree of errors, as its module draws it."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

from gateway.core import errors
from gateway.core.errors import BackendThrottled, DeskgateError, NoAnswer

WITH_ERRORS = (  # the modules that define errors of their own
    "gateway.declared.reading",
    "gateway.tools.call",
    "gateway.tools.processes",
    "gateway.tools.children",
    "gateway.tools.gateways.member",
    "gateway.tools.trial.run",
    "gateway.tools.replaying.run",
    "gateway.console.actions",
    "gateway.console.trial",
    "gateway.testing.desk",
    "workers.settings",
)
ROW = re.compile(r"([│├└─ ]*)(\w+)(?: +(\d{6}))?(?: +(transient)\b)?")
INDENT = 4


class Drawn(NamedTuple):
    """One row of the tree: a class, its parent, its code, and if it is transient."""

    name: str
    parent: str
    code: int | None
    transient: bool


def drawn(text: str) -> Iterator[Drawn]:
    """Yield the rows of the drawing, the base class left out."""
    path: list[str] = []
    for line in text.partition("::\n\n")[2].partition("\n\n")[0].splitlines():
        row = ROW.match(line)
        assert row is not None
        depth = len(row[1]) // INDENT - 1
        path[depth:] = [row[2]]
        if depth:
            yield Drawn(row[2], path[depth - 1], int(row[3]) if row[3] else None, bool(row[4]))


def defined(parent: type[DeskgateError]) -> Iterator[Drawn]:
    """Yield every class of the project below ``parent``."""
    children = [child for child in parent.__subclasses__() if not child.__module__.startswith("tests.")]
    for child in children:
        code = getattr(child, "code", None)
        yield Drawn(child.__name__, parent.__name__, code, issubclass(child, NoAnswer) and child.transient)
        yield from defined(child)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """A reader finds each error, its code, and if another attempt is worth it, on one page."""
    for module in WITH_ERRORS:
        import_module(module)
    tree = list(drawn(errors.__doc__ or ""))
    assert len(tree) == len(set(tree))
    assert set(tree) == set(defined(DeskgateError))


def test_a_throttled_lookup_knows_how_long_its_backend_wants_to_be_left_alone() -> None:
    """Some backends say for how long, and some do not."""
    assert (BackendThrottled("slow down", 10.0).pause, BackendThrottled("slow down").pause) == (10.0, None)
