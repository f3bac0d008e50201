"""The fault script: it decides how each call is answered. Pure: same script, same call, same fate.

A script is read from TOML by :func:`gateway.crm.reading.read_script`; ``ops/crm.toml`` shows one, explained.
"""

import sys
from enum import StrEnum
from fnmatch import fnmatchcase
from math import log
from random import Random
from statistics import NormalDist
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import astuple

_P95_SIGMAS = NormalDist().inv_cdf(0.95)
_LEAST_ERROR = 400
_LONGEST_LATENCY_S = 3600.0  # a lognormal has no upper end, but an event loop's timer has one


class ScriptError(Exception):
    """A script cannot be played. ``faults`` has a line for each fault, its place first."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class Seconds(float):
    """A duration in seconds, written in TOML as text with a unit."""


class Kind(StrEnum):
    """The kinds of answers to a call.

    =============  =====================================================================================
    ``ok``         the answer of a healthy CRM
    ``error``      the rule's ``status``, with JSON
    ``hang``       nothing, for ever
    ``reset``      half of the answer, then a RST
    ``garbage``    200, and no JSON
    ``drip``       the answer, a byte a second
    ``huge``       200 with 50 MB
    ``reply``      the rule's ``status``, ``headers`` and ``body`` in its ``charset``; without a body the
                   healthy answer's
    ``expired``    an error in a 200: the token has expired
    ``throttled``  429, with the rule's ``headers``
    ``ingress``    404 of a proxy, as plain text
    ``empty``      204
    ``promise``    202: the answer will be there later
    ``unasked``    the answer, and ``lag`` later a whole answer about somebody else on the idle connection
    ``closing``    the answer, then the connection is closed without a word
    ``longer``     the answer with a Content-Length that is too small
    =============  =====================================================================================
    """

    OK = "ok"
    ERROR = "error"
    HANG = "hang"
    RESET = "reset"
    GARBAGE = "garbage"
    DRIP = "drip"
    HUGE = "huge"
    REPLY = "reply"
    EXPIRED = "expired"
    THROTTLED = "throttled"
    INGRESS = "ingress"
    EMPTY = "empty"
    PROMISE = "promise"
    UNASKED = "unasked"
    CLOSING = "closing"
    LONGER = "longer"


_KINDS = tuple(Kind)


class Fate(Struct, frozen=True):
    """The answer to one call. ``status`` counts for the kinds ``error`` and ``reply`` alone."""

    kind: Kind
    latency_s: float
    status: int
    headers: dict[str, str] = {}
    body: str | None = None
    charset: str = "utf-8"
    lag_s: float = 0.0


PROMPT_OK = Fate(Kind.OK, 0.0, 200)


class Lognormal(Struct, frozen=True):
    """The usual shape of a service's latency: most calls near the median, a long tail."""

    median: Seconds
    p95: Seconds

    def __post_init__(self) -> None:
        """Raise ValueError if no lognormal distribution has these two values."""
        if not 0 < self.median <= self.p95:
            msg = "the median must be above zero and not above the p95"
            raise ValueError(msg)

    def draw(self, random: Random) -> float:
        """Return one latency in seconds."""
        sigma = log(self.p95 / self.median) / _P95_SIGMAS
        return min(random.lognormvariate(log(self.median), sigma), _LONGEST_LATENCY_S)


class Latency(Struct, frozen=True):
    """The time before the first byte of an answer: ``fixed``, ``lognormal``, or zero."""

    fixed: Seconds | None = None
    lognormal: Lognormal | None = None

    def __post_init__(self) -> None:
        """Raise ValueError when both are given."""
        if self.fixed is not None and self.lognormal is not None:
            msg = "give fixed or lognormal, not both"
            raise ValueError(msg)

    def draw(self, random: Random) -> float:
        """Return one latency in seconds."""
        if self.lognormal is not None:
            return self.lognormal.draw(random)
        return min(self.fixed or 0.0, _LONGEST_LATENCY_S)


Share = Annotated[float, Meta(ge=0)]


class Shares(Struct, frozen=True):
    """The share of each kind among all answers: a field for each ``Kind``, in its order."""

    ok: Share = 0.0
    error: Share = 0.0
    hang: Share = 0.0
    reset: Share = 0.0
    garbage: Share = 0.0
    drip: Share = 0.0
    huge: Share = 0.0
    reply: Share = 0.0
    expired: Share = 0.0
    throttled: Share = 0.0
    ingress: Share = 0.0
    empty: Share = 0.0
    promise: Share = 0.0
    unasked: Share = 0.0
    closing: Share = 0.0
    longer: Share = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError if all shares are zero, or if one is not finite."""
        if not sys.float_info.min <= sum(astuple(self)) <= sys.float_info.max:
            msg = "at least one share must be above zero, and all of them finite"
            raise ValueError(msg)

    def draw(self, random: Random) -> Kind:
        """Return one kind."""
        return random.choices(_KINDS, astuple(self))[0]


class Rule(Struct, frozen=True):
    """A rule for the calls whose path matches, from ``after`` until just before ``until``."""

    path: str = "*"
    after: Seconds = Seconds(0)
    until: Seconds | None = None
    latency: Latency = Latency()
    shares: Shares = Shares(ok=1.0)
    status: Annotated[int, Meta(ge=200, le=599)] = 503
    headers: dict[str, str] = {}
    body: str | None = None
    charset: str = "utf-8"
    lag: Seconds = Seconds(0)

    def __post_init__(self) -> None:
        """Raise ValueError if no call can match, or if the answer cannot be written."""
        if self.shares.error and self.status < _LEAST_ERROR:
            msg = "the status of an error must be 400 or more"
            raise ValueError(msg)
        try:
            (self.body or "").encode(self.charset)
        except (LookupError, UnicodeError):
            msg = f"the body cannot be written in the charset {self.charset!r}"
            raise ValueError(msg) from None
        if self.path[:1] not in {"/", "*", "?", "["}:
            msg = f"path {self.path!r} can match no call: paths begin with a slash"
            raise ValueError(msg)
        if self.until is not None and self.until <= self.after:
            msg = "until must be later than after"
            raise ValueError(msg)

    def covers(self, path: str, elapsed_s: float) -> bool:
        """True if this rule is for a call of ``path``, ``elapsed_s`` seconds after the script began."""
        in_time = self.after <= elapsed_s and (self.until is None or elapsed_s < self.until)
        return in_time and fnmatchcase(path, self.path)


class Script(Struct, frozen=True):
    """The rules, of which the first match wins, and the seed of every draw."""

    seed: Annotated[int, Meta(ge=0, le=2**53)] = 7
    rules: tuple[Rule, ...] = ()


def decide(script: Script, path: str, elapsed_s: float, n: int) -> Fate:
    """Return the fate of the ``n``-th call of ``path``, made ``elapsed_s`` seconds after the script began.

    The draw depends on the seed, the path and ``n`` alone, so calls of other paths never change it.
    """
    for rule in script.rules:
        if rule.covers(path, elapsed_s):
            random = Random(f"{script.seed}:{path}:{n}")  # noqa: S311 - repeatable on purpose, protects nothing
            kind, latency = rule.shares.draw(random), rule.latency.draw(random)
            return Fate(kind, latency, rule.status, rule.headers, rule.body, rule.charset, rule.lag)
    return PROMPT_OK
