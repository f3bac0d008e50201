"""All errors of the project, as one tree. The numbers are the codes that Desk gets.

::

    DeskgateError
    ├── Refusal                     the callback is answered without a lookup
    │   ├── BadRequest              120100
    │   ├── Unauthenticated         120101
    │   ├── UnknownApp              120102
    │   ├── NoRoute                 120103
    │   ├── UnknownCommand          120104
    │   ├── TooLarge                120105
    │   └── WrongMethod             120106
    ├── NoAnswer                    120010             a lookup has no live answer; the ladder takes over
    │   ├── TimedOut                120001  transient
    │   ├── BackendUnavailable      120002  transient
    │   │   ├── BackendUntrusted    120002
    │   │   └── NoToken             120002
    │   ├── CircuitOpen             120005
    │   ├── BackendRejected         120003
    │   │   └── NotFound            120003
    │   ├── BadBackendReply         120004
    │   │   ├── NotJson             120004  transient
    │   │   └── Unmapped            120004
    │   ├── Overloaded              120006
    │   ├── QueueUnavailable        120007
    │   ├── LookupFailed            120010
    │   │   └── Raised              120010
    │   ├── InvalidInput            120011
    │   ├── BackendDenied           120012
    │   └── BackendThrottled        120013
    ├── ConfigFaults                the configuration cannot be used (declared/reading.py)
    ├── NoLane                      arq's command does not know which lane to run (workers/settings.py)
    ├── CallFailed                  no reply came to a callback sent by hand (tools/call.py)
    ├── NoSuchLookup                the configuration has no lookup of this name (tools/trial/run.py)
    ├── TrialFailed                 a trial in the console has come to no result (console/trial.py)
    ├── CannotAct                   an action of the console cannot be taken (console/actions.py)
    ├── CannotReplay                a recorded callback cannot be replayed (tools/replaying/run.py)
    ├── NotScripted                 a test has not given this backend (testing/desk.py)
    ├── NotStarted                  one of several gateways did not start (tools/gateways/member.py)
    │   ├── NoProcess               there is no process for it
    │   └── Ended                   it ended before it served
    ├── PartFailed                  a vital part of this process has died (process/vital.py)
    ├── WrongSockets                a supervisor's sockets cannot be used (process/supervisor.py)
    ├── CannotStart                 a child process did not start (tools/processes.py)
    └── ChildEnded                  a child process ended unasked (tools/children.py)

A ``transient`` error is worth another attempt. One predicate, :func:`is_transient`, drives every retry.
:class:`Code` has the other codes as well: a reply can carry one although nothing was raised.
The numbers lie in [120001, 130000], the range that the platform leaves to applications.
"""

import math
from enum import IntEnum


class Code(IntEnum):
    """The ``ErrorCode`` of a reply; the names are those in logs, metrics and ``ErrorInfo``."""

    OK = 0
    TIMEOUT = 120001
    BACKEND_UNAVAILABLE = 120002
    BACKEND_REJECTED = 120003
    BAD_BACKEND_REPLY = 120004
    CIRCUIT_OPEN = 120005
    OVERLOADED = 120006
    QUEUE_UNAVAILABLE = 120007
    NO_WORKERS = 120008
    MISSING_INPUT = 120009
    LOOKUP_FAILED = 120010
    INVALID_INPUT = 120011
    BACKEND_DENIED = 120012
    BACKEND_THROTTLED = 120013
    BAD_REQUEST = 120100
    UNAUTHENTICATED = 120101
    UNKNOWN_APP = 120102
    NO_ROUTE = 120103
    UNKNOWN_COMMAND = 120104
    TOO_LARGE = 120105
    WRONG_METHOD = 120106
    INTERNAL = 120900


class DeskgateError(Exception):
    """The base of every error that deskgate raises on purpose."""


class Refusal(DeskgateError):
    """A callback is answered without a lookup. ``str()`` says why, for people."""

    code: Code
    status: int


class BadRequest(Refusal):
    """The callback is not what the platform documents."""

    code, status = Code.BAD_REQUEST, 400


class Unauthenticated(Refusal):
    """The signature is missing, wrong, or too old."""

    code, status = Code.UNAUTHENTICATED, 401


class UnknownApp(Refusal):
    """The SdkAppid is missing or not configured."""

    code, status = Code.UNKNOWN_APP, 403


class NoRoute(Refusal):
    """No route matches the callback."""

    code, status = Code.NO_ROUTE, 200


class UnknownCommand(Refusal):
    """The CallbackCommand is not one that is handled."""

    code, status = Code.UNKNOWN_COMMAND, 200


class TooLarge(Refusal):
    """The body is over ``max_body``."""

    code, status = Code.TOO_LARGE, 413


class WrongMethod(Refusal):
    """The HTTP method is not POST."""

    code, status = Code.WRONG_METHOD, 405


class NoAnswer(DeskgateError):
    """A lookup has no live answer; ``str()`` says why, without secrets and without a backend's raw body.

    ``most_attempts`` is the number of attempts, the first one included, after which another is not worth it.
    ``backend_failed`` says that the backend is ill: the circuit breaker counts it.
    """

    code: Code = Code.LOOKUP_FAILED
    transient: bool = False
    backend_failed: bool = False
    most_attempts: float = math.inf


class TimedOut(NoAnswer):
    """The budget ended first, or the attempt took longer than its timeout."""

    code, transient, backend_failed = Code.TIMEOUT, True, True


class BackendUnavailable(NoAnswer):
    """The backend was not reached, broke off, or answered that it cannot serve now."""

    code, transient, backend_failed = Code.BACKEND_UNAVAILABLE, True, True


class BackendUntrusted(BackendUnavailable):
    """The backend's certificate is none that we trust: another attempt would not change that."""

    code, transient = Code.BACKEND_UNAVAILABLE, False


class NoToken(BackendUnavailable):
    """The backend was not asked: who gives out the token for it does not answer."""

    code, transient, backend_failed = Code.BACKEND_UNAVAILABLE, False, False


class BackendRejected(NoAnswer):
    """The backend took the question for a wrong one: another attempt would not change that."""

    code, transient = Code.BACKEND_REJECTED, False


class NotFound(BackendRejected):
    """A Python lookup has found nothing: code 0 with its ``not_found`` values, where it declares them."""

    code, transient = Code.BACKEND_REJECTED, False


class BadBackendReply(NoAnswer):
    """The reply is empty or too large, lacks a required variable, or is not HTTP."""

    code, transient, backend_failed = Code.BAD_BACKEND_REPLY, False, True


class NotJson(BadBackendReply):
    """The body is not JSON: a proxy's page, for example, or a reply that was cut short. The next may be."""

    code, transient = Code.BAD_BACKEND_REPLY, True
    most_attempts = 2


class CircuitOpen(NoAnswer):
    """The backend was not asked: its last calls failed, so it is left alone for a while."""

    code, transient = Code.CIRCUIT_OPEN, False


class Unmapped(BadBackendReply):
    """The reply does not have what the lookup needs. That may lie in the question, or in the mapping.

    So it says nothing of the backend's health: one lookup must not open the breaker for all others.
    """

    backend_failed = False


class Overloaded(NoAnswer):
    """The backend was not asked: it could not have answered in time."""

    code, transient = Code.OVERLOADED, False


class QueueUnavailable(NoAnswer):
    """Redis is unreachable or too slow."""

    code, transient = Code.QUEUE_UNAVAILABLE, False


class LookupFailed(NoAnswer):
    """The lookup's own code raised, or the worker does not know the lookup."""

    code, transient = Code.LOOKUP_FAILED, False


class InvalidInput(NoAnswer):
    """An input is none that the lookup takes, so nobody is asked. ``str()`` names it, without its value."""

    code, transient = Code.INVALID_INPUT, False


class BackendDenied(NoAnswer):
    """The backend did not accept our credentials. ``renewable``: another attempt would use others."""

    code, transient = Code.BACKEND_DENIED, False

    def __init__(self, text: str, *, renewable: bool = False) -> None:
        """Take the reason, for people, and whether there are other credentials."""
        super().__init__(text)
        self.renewable = renewable


class BackendThrottled(NoAnswer):
    """The backend asked to be left alone: for ``pause`` seconds, None if it did not say for how long."""

    code, transient = Code.BACKEND_THROTTLED, False

    def __init__(self, text: str, pause: float | None = None) -> None:
        """Take the reason, for people, and the pause."""
        super().__init__(text)
        self.pause = pause


def is_transient(error: BaseException) -> bool:
    """True if another attempt may succeed after ``error``."""
    return isinstance(error, NoAnswer) and error.transient
