"""The table ``[lookups.NAME]``, its contradictions, and the :class:`Lookup` that it means."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Literal

from jmespath.parser import ParsedResult

from gateway.declared.backend import PYTHON, PYTHON_LANE, Backend
from gateway.declared.expression import compile_expression
from gateway.declared.reading import Fault, encode_json, known, plain, unknown
from gateway.declared.request import RequestTable, RequestTemplate, compile_request
from gateway.declared.values import Duration, Table

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class LookupTable(Table, frozen=True, kw_only=True):
    """One question to one backend, and what its reply means."""

    variables: dict[str, str]
    backend: str | None = None
    request: RequestTable | None = None
    python: str | None = None
    inputs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    not_found: dict[str, str] | None = None
    fresh: Duration = Duration(60)
    stale_while_revalidate: Duration = Duration(0)
    stale_if_error: Duration = Duration(86400)
    share: Literal["session", "user"] = "session"
    fallback: dict[str, str] = {}


@dataclass(frozen=True, slots=True, repr=False)
class Lookup:
    """A declared question to one backend, compiled. Durations are seconds.

    ``version`` changes with the question and with what its reply means: an answer that was kept under another
    version is no answer to this lookup. ``overrun`` is how long an attempt may run on past the deadline.
    ``share`` says whether another session of the same user may fall back on an answer.
    """

    name: str
    lane: str
    version: str
    inputs: tuple[str, ...]
    variables: Mapping[str, ParsedResult]
    request: RequestTemplate | None = None
    python: str | None = None
    required: frozenset[str] = frozenset()
    not_found: Mapping[str, str] | None = None
    fallback: Mapping[str, str] = field(default_factory=dict)
    fresh: float = 60.0
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 86400.0
    share: Literal["session", "user"] = "session"
    overrun: float = PYTHON.attempt_timeout

    def __repr__(self) -> str:
        """Return the name alone: every other text may come from the environment."""
        return f"Lookup({self.name})"

    @property
    def kept(self) -> float:
        """Seconds for which an answer is worth keeping."""
        return max(self.fresh + self.stale_while_revalidate, self.stale_if_error)


def check_lookup(
    name: str, lookup: LookupTable, inputs: Sequence[str], backends: Collection[str]
) -> Iterator[Fault]:
    """Yield the contradictions of the table; ``inputs`` are the variables that its question reads."""
    path = f"lookups.{name}"
    yield from _check_question(path, lookup, backends)
    yield from _check_variables(path, lookup)
    if lookup.fresh + lookup.stale_while_revalidate > lookup.stale_if_error > 0:
        message = "must not be shorter than fresh + stale_while_revalidate"
        about = (f"{path}.fresh", f"{path}.stale_while_revalidate")
        yield Fault(f"{path}.stale_if_error", message, about)
    if lookup.share == "user" and lookup.stale_if_error <= 0:
        message = "'user' shares last known answers, and with stale_if_error = '0s' there are none"
        yield Fault(f"{path}.share", message, (f"{path}.stale_if_error",))
    if "" in inputs:
        yield Fault(f"{path}.inputs", "a variable's name must not be empty")


def _check_question(path: str, lookup: LookupTable, backends: Collection[str]) -> Iterator[Fault]:
    """Yield the contradictions of how the lookup asks: a request to a backend, or a Python function."""
    if (lookup.request is None) == (lookup.python is None):
        about = (f"{path}.request", f"{path}.python")
        yield Fault(path, "needs either `request` (with `backend`) or `python`", about)
    if lookup.request is not None and lookup.backend is None and lookup.python is None:
        yield Fault(f"{path}.backend", f"missing{known(backends)}")
    if lookup.backend is not None and lookup.backend not in backends:
        yield Fault(f"{path}.backend", unknown(lookup.backend, "a backend", backends))
    if lookup.python is not None and not _FUNCTION.fullmatch(lookup.python):
        yield Fault(f"{path}.python", "must name a function, for example 'mycrm.lookups:churn'")
    if lookup.python is not None and lookup.backend is not None:
        yield Fault(f"{path}.backend", "a Python lookup has no backend")


def _check_variables(path: str, lookup: LookupTable) -> Iterator[Fault]:
    """Yield a fault for each variable that is named elsewhere in the table, and not set by the lookup."""
    if not lookup.variables:
        yield Fault(f"{path}.variables", "must set at least one variable")
    named = [("required", name) for name in lookup.required]
    named += [(f"not_found.{name}", name) for name in lookup.not_found or {}]
    named += [(f"fallback.{name}", name) for name in lookup.fallback]
    for place, name in named:
        if name not in lookup.variables:
            yield Fault(f"{path}.{place}", unknown(name, "in `variables`", lookup.variables))


def compile_lookup(name: str, table: LookupTable, backend: Backend | None, faults: list[Fault]) -> Lookup:
    """Return what ``table`` means; add a fault for each expression and template that cannot be compiled."""

    def report(place: str, message: str) -> None:
        faults.append(Fault(f"lookups.{name}.{place}", message))

    variables = {
        variable: compile_expression(expression, partial(report, f"variables.{variable}"))
        for variable, expression in table.variables.items()
    }
    request = None
    if table.request is not None:
        request = compile_request(table.request, lambda place, message: report(f"request.{place}", message))
    question = (table.backend, table.request, table.python, table.variables, table.not_found)
    return Lookup(
        name=name,
        lane=table.backend or PYTHON_LANE,
        version=blake2b(encode_json(question), digest_size=4).hexdigest(),
        inputs=tuple(sorted({*plain(table.inputs), *(request.inputs if request else ())})),
        variables=variables,
        request=request,
        python=table.python,
        required=frozenset(table.required),
        not_found=plain(table.not_found),
        fallback=plain(table.fallback),
        fresh=table.fresh,
        stale_while_revalidate=table.stale_while_revalidate,
        stale_if_error=table.stale_if_error,
        share=table.share,
        overrun=(backend or PYTHON).attempt_timeout,
    )
