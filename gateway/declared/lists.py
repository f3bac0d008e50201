"""The elements of an XML reply that expressions take for lists.

An element that stands there once is no list: with one order, ``orders.order[0]`` would lead nowhere.
"""

# ruff: noqa: ANN401 - a node of JMESPath is a dict

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.declared.functions import ReplyFunctions

Path = tuple[str, ...] | None
"""The names from the root element to a value; None for a value that is no element, or not known to be one."""

_FUNCTIONS: dict[str, Any] = ReplyFunctions.FUNCTION_TABLE
_OF_ITS_LIST = frozenset(("sort_by", "max_by", "min_by", "reverse"))
"""Functions that give a list, or one of its entries, as it is."""


def lists_in(expressions: Iterable[Any]) -> frozenset[str]:
    """Return the paths of the elements that parsed expressions index, project, filter, sort and so on."""
    found = (path for parsed in expressions for path in _Walk(parsed).lists)
    return frozenset(".".join(path) for path in found if len(path) > 1 and path[-1][:1] not in {"@", "#"})


class _Walk:
    """A walk through one expression; ``lists`` are the paths that it takes for lists."""

    def __init__(self, parsed: Any) -> None:
        self.lists: set[tuple[str, ...]] = set()
        self._walk(parsed, ())

    def _walk(self, node: Any, at: Path) -> Path:
        """Return the path of what a node gives for the value at a path."""
        children = [child for child in node["children"] if isinstance(child, dict)]
        given: Path = None
        match node["type"]:
            case "field" if at is not None:
                given = (*at, node["value"])
            case "identity" | "current":
                given = at
            case "index" | "slice":
                given = self._note(at)
            case "subexpression" | "index_expression" | "pipe":
                given = at
                for child in children:
                    given = self._walk(child, given)
            case "flatten":
                given = self._note(self._walk(children[0], at))
            case "projection" | "filter_projection":
                self._each(children[1:], self._note(self._walk(children[0], at)))
            case "value_projection":
                self._walk(children[0], at)
                self._each(children[1:], None)
            case "function_expression":
                given = self._call(node["value"], children, at)
            case _:
                self._each(children, at)
        return given

    def _each(self, nodes: Iterable[Any], at: Path) -> None:
        for node in nodes:
            self._walk(node, at)

    def _call(self, name: str, arguments: list[Any], at: Path) -> Path:
        paths = {i: self._walk(one, at) for i, one in enumerate(arguments) if one["type"] != "expref"}
        lists = [self._note(path) for i, path in paths.items() if i in _lists_of(name)]
        listed = lists[0] if lists else None
        for one in arguments:
            if one["type"] == "expref":
                self._each(one["children"], listed)
        return (listed or paths.get(0)) if name in _OF_ITS_LIST else None

    def _note(self, path: Path) -> Path:
        if path is not None:
            self.lists.add(path)
        return path


def _lists_of(name: str) -> Iterator[int]:
    """Yield the numbers of the arguments of a function that can only be lists."""
    for number, argument in enumerate(_FUNCTIONS.get(name, {}).get("signature", ())):
        types = argument["types"]
        if types and all(one.partition("-")[0] == "array" for one in types):
            yield number
