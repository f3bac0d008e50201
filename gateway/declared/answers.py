"""The tables ``[[backends.NAME.answers]]`` and ``[[lookups.NAME.answers]]``: what a backend's response means.

The first rule that matches a response decides: the lookup's rules come first, then its backend's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from jmespath.parser import ParsedResult

from gateway.declared.expression import compile_expression
from gateway.declared.reading import Fault, plain
from gateway.declared.values import Table

Meaning = Literal["ok", "not_found", "unauthorized", "throttled", "unavailable", "rejected", "bad"]
"""The words for ``is``."""

ANY_STATUS = frozenset(range(HTTPStatus.OK, 600))
_CLASS = re.compile("[2-5]xx")

When = dict[str, Any] | str


class AnswerTable(Table, frozen=True, kw_only=True):
    """A response with this status, and with a body for which ``when`` holds, means what ``is`` says."""

    means: Meaning = msgspec.field(name="is")
    status: int | str | tuple[int | str, ...] | None = None
    when: When = {}


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression over the body, and the values that it may give; None: true, as JMESPath counts."""

    text: str
    wanted: tuple[Any, ...] | None
    expression: ParsedResult = field(compare=False)

    def takes(self, other: "Condition") -> bool:
        """True if this one holds wherever ``other`` does, as far as the texts show."""
        if self.text != other.text or self.wanted is None or other.wanted is None:
            return self == other
        mine = [(type(value), value) for value in self.wanted]
        return all((type(value), value) in mine for value in other.wanted)


@dataclass(frozen=True, slots=True)
class Rule:
    """An answer rule, compiled; ``name`` is its place in the file."""

    name: str
    means: Meaning
    statuses: frozenset[int]
    conditions: tuple[Condition, ...]

    def covers(self, other: "Rule") -> bool:
        """True if every response that ``other`` matches is matched by this rule, as far as the texts show."""
        return other.statuses <= self.statuses and all(
            any(one.takes(other_one) for other_one in other.conditions) for one in self.conditions
        )


def check_answers(
    path: str, answers: Sequence[AnswerTable | None], *, has_status: bool = True
) -> Iterator[Fault]:
    """Yield the contradictions within each rule of the list at ``path``.

    With ``has_status`` False, as for a Python lookup, there is no status to look at.
    """
    for number, answer in enumerate(answers):
        if answer is None:
            continue
        place = f"{path}[{number}]"
        if answer.status is None and not answer.when:
            message = "would take every response: add `status` or `when`"
            yield Fault(place, message, (f"{place}.status", f"{place}.when"))
        if answer.status is not None and not has_status:
            yield Fault(f"{place}.status", "a Python lookup has no status; use `when`")
        statuses = _listed(answer.status)
        if answer.status is not None and not statuses:
            yield Fault(f"{place}.status", "an empty list matches nothing: leave `status` out, or name one")
        for status in statuses:
            if not _statuses(status):
                message = f"{status!r} is no status that a response has; write for example 404 or '4xx'"
                yield Fault(f"{place}.status", message)
        if isinstance(answer.when, dict):
            yield from _check_values(f"{place}.when", answer.when)


def _check_values(path: str, when: Mapping[str, Any]) -> Iterator[Fault]:
    for expression, wanted in when.items():
        place = f"{path}.{expression}"
        values = wanted if isinstance(wanted, list) else [wanted]
        if not values:
            yield Fault(place, "an empty list matches nothing: name the values")
        if not all(isinstance(value, str | int | float) for value in values):
            yield Fault(place, "must be a text, a number, true, false, or a list of these")


def check_order(own: Sequence[Rule], *, declares_not_found: bool) -> Iterator[Fault]:
    """Yield a warning for each of a lookup's or a backend's own rules that does nothing."""
    for number, rule in enumerate(own):
        covering = next((earlier for earlier in own[:number] if earlier.covers(rule)), None)
        if covering is not None:
            message = f"can never match: {covering.name} comes first and matches all that this one does"
            yield Fault(rule.name, message, warning=True)
        if rule.means == "not_found" and not declares_not_found:
            message = "the lookup declares no `not_found`, so this is 120003; add the variables to give"
            yield Fault(rule.name, message, warning=True)


def compile_answers(
    path: str, answers: Sequence[AnswerTable | None], faults: list[Fault]
) -> tuple[Rule, ...]:
    """Return the rules of the list at ``path``; add a fault for each expression that cannot be compiled."""
    return tuple(
        Rule(
            name=f"{path}[{number}]",
            means=answer.means,
            statuses=_all_statuses(answer.status),
            conditions=tuple(_conditions(f"{path}[{number}].when", answer.when, faults)),
        )
        for number, answer in enumerate(answers)
        if answer is not None
    )


def _conditions(path: str, when: When, faults: list[Fault]) -> Iterator[Condition]:
    def report(place: str, message: str, *, warning: bool = False) -> None:
        faults.append(Fault(place, message, warning=warning))

    def compiled(text: str, place: str) -> ParsedResult:
        return compile_expression(text, partial(report, place), partial(report, place, warning=True))

    if isinstance(when, str):
        if when:
            yield Condition(when, None, compiled(when, path))
        return
    for text, wanted in when.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        yield Condition(text, tuple(map(plain, values)), compiled(text, f"{path}.{text}"))


def _listed(status: int | str | tuple[int | str, ...] | None) -> tuple[int | str, ...]:
    if status is None:
        return ()
    return status if isinstance(status, tuple) else (status,)


def _statuses(status: int | str) -> frozenset[int]:
    if isinstance(status, str):
        if not _CLASS.fullmatch(status):
            return frozenset()
        hundred = int(status[0]) * 100
        return frozenset(range(hundred, hundred + 100))
    return frozenset({status}) & ANY_STATUS


def _all_statuses(status: int | str | tuple[int | str, ...] | None) -> frozenset[int]:
    return ANY_STATUS if status is None else frozenset().union(*map(_statuses, _listed(status)))
