"""The table ``[lookups.NAME]``, its contradictions, and the :class:`Lookup` that it means."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

from jmespath.parser import ParsedResult

from gateway.core.charsets import find_charset
from gateway.core.packing import pack
from gateway.declared.accept import Accept, AcceptTable, compile_accept
from gateway.declared.answers import AnswerTable, Rule, check_answers, check_order, compile_answers
from gateway.declared.backend import PYTHON, PYTHON_LANE, Backend
from gateway.declared.expression import compile_mapping, gives_for_nothing
from gateway.declared.lists import lists_in
from gateway.declared.question import check_question
from gateway.declared.reading import Fault, plain
from gateway.declared.request import RequestTable, RequestTemplate, compile_request, exposed
from gateway.declared.slips import slips_of_request, slips_of_statement, slips_of_texts
from gateway.declared.statement import Statement, compile_statement
from gateway.declared.values import Duration, Table
from gateway.declared.version import version_of
from gateway.declared.wording import unknown

NOT_FOUND_FRESH = Duration(10)
"""Seconds for which "there is no such thing" is fresh, if the lookup does not say: it may soon be there."""

ReplyFormat = Literal["json", "xml", "text", "form"]
"""The formats of a backend's reply."""


class LookupTable(Table, frozen=True, kw_only=True):
    """One question to one backend, and what its reply means."""

    variables: dict[str, str]
    backend: str | None = None
    request: RequestTable | None = None
    python: str | None = None
    options: dict[str, Any] = {}
    sql: str | None = None
    rows: Literal["first", "all"] = "first"
    reply: ReplyFormat = "json"
    force_list: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    when: dict[str, str] = {}
    internal: tuple[str, ...] = ()
    accept: dict[str, AcceptTable] = {}
    required: tuple[str, ...] = ()
    not_found: dict[str, str] | None = None
    answers: tuple[AnswerTable, ...] = ()
    empty: Literal["not_found", "bad", "ok"] | None = None
    fresh: Duration = Duration(60)
    not_found_fresh: Duration = NOT_FOUND_FRESH
    stale_while_revalidate: Duration = Duration(0)
    stale_if_error: Duration = Duration(86400)
    share: Literal["session", "user"] = "session"
    fallback: dict[str, str] = {}
    hedge: Duration | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Lookup:
    """A declared question to one backend, compiled. Durations are seconds.

    ``version`` changes with the question and with what its reply means: an answer that was kept under another
    version is no answer to this lookup. It is not asked for unless ``when`` holds. Its ``internal`` variables
    are for other lookups alone. ``optional`` inputs may be absent. ``accept`` brings inputs into one
    form. ``rules`` judge the backend's responses. ``empty`` says what a reply means in which all is null.
    ``overrun`` is how long an attempt may run on past the deadline. ``charset`` is Python's name of the codec
    for the backend's replies; None if each reply says it by itself.
    ``hedge`` is when a second attempt begins beside the first, in seconds; None: failures are retried.
    ``share`` says whether another session of the same user may fall back on an answer.
    """

    name: str
    lane: str
    version: str
    inputs: tuple[str, ...]
    variables: Mapping[str, ParsedResult]
    request: RequestTemplate | None = None
    python: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    statement: Statement | None = None
    rows: Literal["first", "all"] = "first"
    optional: frozenset[str] = frozenset()
    when: Mapping[str, str] = field(default_factory=dict)
    internal: frozenset[str] = frozenset()
    accept: Mapping[str, Accept] = field(default_factory=dict)
    reply: ReplyFormat = "json"
    force_list: frozenset[str] = frozenset()
    charset: str | None = None
    required: frozenset[str] = frozenset()
    not_found: Mapping[str, str] | None = None
    rules: tuple[Rule, ...] = ()
    empty: Literal["not_found", "bad", "ok"] = "bad"
    fallback: Mapping[str, str] = field(default_factory=dict)
    fresh: float = 60.0
    not_found_fresh: float = NOT_FOUND_FRESH
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 86400.0
    share: Literal["session", "user"] = "session"
    overrun: float = PYTHON.attempt_timeout
    hedge: float | None = None

    def __repr__(self) -> str:
        """Return the name alone: every other text may come from the environment."""
        return f"Lookup({self.name})"

    @property
    def reads(self) -> tuple[str, ...]:
        """The variables that decide whether and what is asked."""
        return (*self.inputs, *self.when)

    @property
    def kept(self) -> float:
        """Seconds for which an answer is worth keeping."""
        return max(self.fresh + self.stale_while_revalidate, self.stale_if_error)


def check_lookup(
    name: str, lookup: LookupTable, inputs: Sequence[str], backends: Mapping[str, Backend]
) -> Iterator[Fault]:
    """Yield the contradictions of the table; ``inputs`` are the variables that its question reads."""
    path = f"lookups.{name}"
    yield from check_question(path, lookup, backends)
    yield from _check_variables(path, lookup)
    yield from _check_answers(path, lookup)
    if lookup.fresh + lookup.stale_while_revalidate > lookup.stale_if_error > 0:
        message = "must not be shorter than fresh + stale_while_revalidate"
        about = (f"{path}.fresh", f"{path}.stale_while_revalidate")
        yield Fault(f"{path}.stale_if_error", message, about)
    if lookup.share == "user" and lookup.stale_if_error <= 0:
        message = "'user' shares last known answers, and with stale_if_error = '0s' there are none"
        yield Fault(f"{path}.share", message, (f"{path}.stale_if_error",))
    if lookup.hedge is not None and lookup.hedge <= 0:
        yield Fault(f"{path}.hedge", "must be more than zero")
    backend = backends.get(lookup.backend or "")
    if lookup.hedge is not None and backend is not None and lookup.hedge >= backend.attempt_timeout:
        message = "no second attempt begins beside the first one: attempt_timeout ends that earlier"
        yield Fault(f"{path}.hedge", message, warning=True)
    if "" in inputs:
        yield Fault(f"{path}.inputs", "a variable's name must not be empty")


def _check_variables(path: str, lookup: LookupTable) -> Iterator[Fault]:
    """Yield a fault for each variable that is named elsewhere in the table, and not set by the lookup."""
    if not lookup.variables:
        yield Fault(f"{path}.variables", "must set at least one variable")
    for name in lookup.variables:
        if not name:
            yield Fault(f"{path}.variables", "a variable's name must not be empty")
        elif name != name.strip():
            yield Fault(f"{path}.variables.{name}", "the name begins or ends with a blank", warning=True)
    named = [("required", name) for name in lookup.required]
    named += [("internal", name) for name in lookup.internal]
    named += [(f"not_found.{name}", name) for name in lookup.not_found or {}]
    named += [(f"fallback.{name}", name) for name in lookup.fallback]
    for place, name in named:
        if name not in lookup.variables:
            yield Fault(f"{path}.{place}", unknown(name, "in `variables`", lookup.variables))


def _check_answers(path: str, lookup: LookupTable) -> Iterator[Fault]:
    """Yield the contradictions of what the lookup says about the meaning of a reply."""
    if lookup.empty == "not_found" and lookup.not_found is None:
        message = "needs `not_found`, the variables to give for it"
        yield Fault(f"{path}.empty", message, (f"{path}.not_found",))
    if lookup.not_found_fresh > max(lookup.fresh, NOT_FOUND_FRESH):
        message = "must not be longer than fresh"
        yield Fault(f"{path}.not_found_fresh", message, (f"{path}.fresh",))
    yield from check_answers(f"{path}.answers", lookup.answers, has_status=lookup.request is not None)


def compile_lookup(
    name: str, table: LookupTable, backends: Mapping[str, Backend], faults: list[Fault]
) -> Lookup:
    """Return what ``table`` means; add a fault for each expression and template that cannot be compiled."""
    lane = table.backend or PYTHON_LANE
    backend = backends.get(lane)

    def report(place: str, message: str, *, warning: bool = False) -> None:
        faults.append(Fault(f"lookups.{name}.{place}", message, warning=warning))

    variables = {
        variable: compile_mapping(
            expression,
            partial(report, f"variables.{variable}"),
            partial(report, f"variables.{variable}", warning=True),
        )
        for variable, expression in table.variables.items()
    }
    request, charset = None, find_charset(backend.charset) if backend and backend.charset else None
    if table.request is not None:
        request = compile_request(table.request, lambda place, message: report(f"request.{place}", message))
    statement = None if table.sql is None else compile_statement(table.sql, report)
    asked = (*(request.inputs if request else ()), *(statement.parameters if statement else ()))
    inputs = tuple(sorted({*plain(table.inputs), *asked}))
    accept = compile_accept(f"lookups.{name}.accept", table.accept, inputs, faults)
    if table.request is not None and request is not None:
        faults += _warn_exposed(f"lookups.{name}", request, accept)
        faults += slips_of_request(f"lookups.{name}.request", table.request)
    for place in ("not_found", "fallback"):
        faults += slips_of_texts(f"lookups.{name}.{place}", getattr(table, place) or {}, inputs)
    if table.sql is not None and statement is not None:
        faults += slips_of_statement(f"lookups.{name}.sql", table.sql)
        faults += _warn_patterns(f"lookups.{name}", statement, accept)
    rules = compile_answers(f"lookups.{name}.answers", table.answers, faults)
    faults += check_order(rules, declares_not_found=table.not_found is not None)
    if backend is not None:
        rules += compile_answers(f"backends.{table.backend}.answers", backend.answers, [])  # told by its own
    if table.request is not None and table.empty != "ok" and not rules:
        faults += _warn_never_empty(f"lookups.{name}.variables", variables, table.required)
    return Lookup(
        name=name,
        lane=lane,
        version=version_of(table, backend, backends),
        inputs=inputs,
        variables=variables,
        request=request,
        python=table.python,
        options=table.options,
        statement=statement,
        rows=table.rows,
        optional=request.optional - set(plain(table.inputs)) if request else frozenset(),
        when=plain(table.when),
        internal=frozenset(plain(table.internal)),
        accept=accept,
        reply=table.reply,
        force_list=frozenset(table.force_list) | _listed(table, variables, rules),
        charset=charset,
        required=frozenset(table.required),
        not_found=plain(table.not_found),
        rules=rules,
        empty=table.empty or ("bad" if table.not_found is None else "not_found"),
        fallback=plain(table.fallback),
        fresh=table.fresh,
        not_found_fresh=min(table.not_found_fresh, table.fresh),
        stale_while_revalidate=table.stale_while_revalidate,
        stale_if_error=table.stale_if_error,
        share=table.share,
        overrun=(backend or PYTHON).attempt_timeout,
        hedge=table.hedge,
    )


def _listed(
    table: LookupTable, variables: Mapping[str, ParsedResult], rules: Iterable[Rule]
) -> frozenset[str]:
    """Return the elements of an XML reply that are lists because an expression takes them for some."""
    if table.reply != "xml":
        return frozenset()
    conditions = (one.expression for rule in rules for one in rule.conditions)
    return lists_in(one.parsed for one in (*variables.values(), *conditions))


def _warn_never_empty(
    path: str, variables: Mapping[str, ParsedResult], required: Iterable[str]
) -> Iterator[Fault]:
    """Yield a warning if a variable keeps every reply from being judged an empty one."""
    given = [name for name, expression in variables.items() if gives_for_nothing(expression.parsed)]
    if given and set(required) <= set(given):
        message = (
            "is never null, so a reply that has nothing, such as an error in a 200, is taken for an answer; "
            "name in `required` what every answer has, or say with rules which replies are answers "
            "([[lookups.NAME.answers]])"
        )
        yield Fault(f"{path}.{given[0]}", message, warning=True)


def _warn_exposed(path: str, request: RequestTemplate, accept: Mapping[str, Accept]) -> Iterator[Fault]:
    """Yield a warning for each place in which a visitor's text could ask for something else."""
    for where, place, quoted in exposed(request):
        taken = accept.get(place.name)
        if taken is None or not taken.guards(quoted):
            why = f"may end the {quoted}…{quoted} around it" if quoted else "may add to it"
            message = (
                f"a value of {{{place.name}}} {why}; write {{{place.name}:soql}}, :odata or :graphql as its "
                f"language wants, or bound it by {path}.accept.{place.name}.match"
            )
            yield Fault(f"{path}.request.{where}", message, warning=True)


def _warn_patterns(path: str, statement: Statement, accept: Mapping[str, Accept]) -> Iterator[Fault]:
    """Yield a warning for each parameter in which a visitor's wildcard would find other rows."""
    for name in sorted(statement.patterns):
        taken = accept.get(name)
        if taken is None or not taken.guards_pattern():
            message = (
                f"a value of :{name} stands in a pattern, where a visitor's % finds everybody; "
                f"compare with =, or bound it by {path}.accept.{name}.match"
            )
            yield Fault(f"{path}.sql", message, warning=True)


def digest_lookups(lookups: Iterable[Lookup]) -> str:
    """Return a digest of the versions of lookups: two processes with the same one know the same jobs."""
    versions = sorted((lookup.name, lookup.version) for lookup in lookups)
    return blake2b(pack(versions), digest_size=4).hexdigest()
