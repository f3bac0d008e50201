"""Judging a reply by what the CRM knows. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from math import inf, isfinite

import msgspec

from gateway.core.variables import as_text
from gateway.crm import data
from tests.storm.workload import Callback

PATIENCE = 2.0
"""Seconds after which Desk gives up."""

STALE_IF_ERROR = 24 * 3600.0
"""Greatest age of a last known answer in seconds, as the configuration has it."""

Fresh = Mapping[str, float]
"""The age in seconds up to which a lookup's record is served as a good answer."""


class Heard(msgspec.Struct, frozen=True):
    """What came of a callback: the seconds from its time to its reply, and Unix time then.

    ``took`` is None when Desk gave up or the connection broke; ``late`` is how much too late it was sent.
    """

    session: int
    number: int
    late: float
    took: float | None
    heard_at: float
    status: int = 0
    body: str = ""


class _Envelope(msgspec.Struct):
    """A reply as the platform documents it."""

    ActionStatus: str
    ErrorInfo: str
    ErrorCode: int
    Body: dict[str, str] = {}


class Mark(Enum):
    """How a reply answers one lookup."""

    RIGHT = auto()
    MISSING = auto()
    BLANK = auto()
    TOO_OLD = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply was worth; ``foreign`` says that it held another session's, user's or input's variable.

    ``blank`` says that it held an empty one where the CRM has a value.

    ``asked_before`` says that each of its lookups had been answered right, with these inputs, in a reply that
    the session had before it sent this callback.
    """

    at: float
    took: float | None
    answered: bool
    right: bool
    good: bool
    foreign: bool
    blank: bool
    asked_before: bool


_decoder = msgspec.json.Decoder(_Envelope)


def expected(seed: int, lookup: str, asked: str) -> dict[str, str]:
    """Return the variables with which the CRM answers a lookup, the time of its answer left out."""
    if lookup == "customer" and (customer := data.customer(seed, asked)):
        return {
            "customer_id": customer.id,
            "customer_name": customer.name,
            "customer_phone": customer.phone,
        }
    if lookup == "order" and (order := data.order(seed, asked)):
        amount = as_text(order.total.amount)
        return {"order_id": order.id, "order_status": order.status, "order_total": amount}
    if lookup == "orders" and (orders := data.orders_of(seed, asked)):
        return {"orders_customer": orders.customer, "orders_count": str(len(orders.orders))}
    msg = f"the CRM does not answer {lookup} for {asked!r}"
    raise ValueError(msg)


def judge(
    callbacks: Iterable[Callback], heard: Iterable[Heard], seed: int, fresh: Fresh
) -> Iterator[Verdict]:
    """Yield a verdict on each callback, in their order; one that nothing was heard of was not answered."""
    replies = {(one.session, one.number): one for one in heard}
    known: dict[tuple[int, str, str], float] = {}
    for callback in callbacks:
        reply = replies.get(callback.key) or Heard(*callback.key, 0.0, None, 0.0)
        envelope = _read(reply)
        good = envelope is not None and envelope.ErrorCode == 0
        marks = {} if envelope is None else _marks(callback, envelope, reply.heard_at, seed, fresh)
        names = [(callback.session, lookup, asked) for lookup, asked in callback.asks.items()]
        yield Verdict(
            at=callback.at,
            took=reply.took,
            answered=envelope is not None,
            right=envelope is not None and all(mark is Mark.RIGHT for mark in marks.values()),
            good=good,
            foreign=Mark.FOREIGN in marks.values(),
            blank=Mark.BLANK in marks.values(),
            asked_before=all(known.get(name, inf) < callback.at for name in names),
        )
        for name in names:
            if marks.get(name[1]) is Mark.RIGHT and reply.took is not None:
                known[name] = min(known.get(name, inf), callback.at + reply.took)


def _read(reply: Heard) -> _Envelope | None:
    """Return the envelope of a reply that Desk takes: in time, HTTP 200, well-formed."""
    if reply.took is None or reply.took > PATIENCE or reply.status != 200:
        return None
    try:
        envelope = _decoder.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return envelope if (envelope.ActionStatus == "OK") == (envelope.ErrorCode == 0) else None


def _marks(
    callback: Callback, envelope: _Envelope, heard_at: float, seed: int, fresh: Fresh
) -> dict[str, Mark]:
    """Mark each lookup, and ``""`` as foreign when there are variables of a lookup that was not asked."""
    marks, left = {}, dict(envelope.Body)
    for lookup, asked in callback.asks.items():
        wanted = expected(seed, lookup, asked)
        names = [*wanted, f"{lookup}_as_of"]
        told = {name: left.pop(name) for name in names if name in left}
        limit = fresh[lookup] if envelope.ErrorCode == 0 else STALE_IF_ERROR
        marks[lookup] = mark(wanted, told, f"{lookup}_as_of", heard_at - PATIENCE - limit)
    return marks | ({"": Mark.FOREIGN} if left else {})


def mark(wanted: Mapping[str, str], told: Mapping[str, str], as_of: str, oldest: float) -> Mark:
    """Tell what the variables ``told`` are worth; the CRM's answer must not be of before ``oldest``.

    The CRM's data never change, so a value that is not the wanted one is the answer to another question.
    """
    wrong = [told[name] for name, value in wanted.items() if told.get(name, value) != value]
    if wrong:
        return Mark.FOREIGN if any(wrong) else Mark.BLANK
    if told.keys() != {*wanted, as_of}:
        return Mark.MISSING
    try:
        born = float(told[as_of])
    except ValueError:
        return Mark.MISSING
    return Mark.RIGHT if isfinite(born) and born >= oldest else Mark.TOO_OLD
