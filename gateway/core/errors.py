"""Everything that can go wrong with a callback, as one tree.

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
    ├── NoAnswer                    a lookup has no live answer; the ladder takes over
    │   ├── TimedOut                120001  transient
    │   ├── BackendUnavailable      120002  transient
    │   ├── BackendRejected         120003
    │   ├── BadBackendReply         120004
    │   ├── Overloaded              120006
    │   ├── QueueUnavailable        120007
    │   ├── MissingInput            120009
    │   └── LookupFailed            120010
    └── ConfigFaults                the configuration cannot be used (declared/reading.py)

``transient`` errors are worth another attempt; one predicate, :func:`is_transient`, drives every retry.
The numbers lie in [120001, 130000], the range that the platform leaves to applications.
"""

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
    BAD_REQUEST = 120100
    UNAUTHENTICATED = 120101
    UNKNOWN_APP = 120102
    NO_ROUTE = 120103
    UNKNOWN_COMMAND = 120104
    TOO_LARGE = 120105
    WRONG_METHOD = 120106
    INTERNAL = 120900


class DeskgateError(Exception):
    """Any error that deskgate raises on purpose."""


class Refusal(DeskgateError):
    """A callback that is answered without making a lookup; ``str()`` says why, for people."""

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
    """A CallbackCommand that is not handled."""

    code, status = Code.UNKNOWN_COMMAND, 200


class TooLarge(Refusal):
    """The body is over ``max_body``."""

    code, status = Code.TOO_LARGE, 413


class WrongMethod(Refusal):
    """The HTTP method is not POST."""

    code, status = Code.WRONG_METHOD, 405


class NoAnswer(DeskgateError):
    """A lookup has no live answer; ``str()`` says why, without secrets and without a backend's raw body."""

    code: Code = Code.LOOKUP_FAILED
    transient = False


class TimedOut(NoAnswer):
    """The budget ended first, or the attempt took longer than its timeout."""

    code, transient = Code.TIMEOUT, True


class BackendUnavailable(NoAnswer):
    """Refused, reset, unresolvable, 5xx or 429."""

    code, transient = Code.BACKEND_UNAVAILABLE, True


class BackendRejected(NoAnswer):
    """A 4xx that another attempt would not change."""

    code = Code.BACKEND_REJECTED


class BadBackendReply(NoAnswer):
    """Too large, or without a required variable, or no HTTP."""

    code = Code.BAD_BACKEND_REPLY


class NotJson(BadBackendReply):
    """A proxy's page, or a reply that was cut short: the next one may be well."""

    transient = True


class Overloaded(NoAnswer):
    """Not tried: it could not have finished in time."""

    code = Code.OVERLOADED


class QueueUnavailable(NoAnswer):
    """Redis is unreachable or too slow."""

    code = Code.QUEUE_UNAVAILABLE


class MissingInput(NoAnswer):
    """A variable that the lookup needs is absent or empty."""

    code = Code.MISSING_INPUT


class LookupFailed(NoAnswer):
    """The lookup's own code raised, or the worker does not know the lookup."""

    code = Code.LOOKUP_FAILED


def is_transient(error: BaseException) -> bool:
    """Tell whether another attempt may succeed where ``error`` ended this one."""
    return isinstance(error, NoAnswer) and error.transient
