"""For authors of Python lookups: the question that a lookup gets, and the errors that it may raise.

This is the one public module for them; every other module of the package may change without notice.

A lookup is ``async def lookup(ask: Ask) -> Mapping[str, object]``, or a plain function, which runs in a
thread. Its reply is mapped to variables as a
backend's reply is. An error below becomes the code of its lookup. Any other exception is ``LOOKUP_FAILED``;
a ``TimeoutError`` is ``TIMEOUT``. The text of an error goes into logs: it must hold no secret.

==========================  ======  =====================================================================
error                       code    raise it when
==========================  ======  =====================================================================
:class:`TimedOut`           120001  the backend did not answer in time
:class:`BackendUnavailable` 120002  the backend was not reached, or it answered that it cannot serve
:class:`BackendRejected`    120003  the backend took the question for a wrong one
:class:`NotFound`           0       there is no such thing: the ``not_found`` values; without them 120003
:class:`BadBackendReply`    120004  the backend's reply is not what it should be
:class:`Overloaded`         120006  the backend was not asked, because it could not answer in time
:class:`LookupFailed`       120010  the lookup itself cannot go on
:class:`InvalidInput`       120011  an input is none that can be asked for; name it, without its value
:class:`BackendDenied`      120012  the backend did not accept our credentials
:class:`BackendThrottled`   120013  the backend asked to be left alone for a while
==========================  ======  =====================================================================

:class:`NoAnswer` is their common base.
"""

from gateway.core.errors import (
    BackendDenied,
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    BadBackendReply,
    InvalidInput,
    LookupFailed,
    NoAnswer,
    NotFound,
    Overloaded,
    TimedOut,
)
from gateway.core.messages import Ask

__all__ = [
    "Ask",
    "BackendDenied",
    "BackendRejected",
    "BackendThrottled",
    "BackendUnavailable",
    "BadBackendReply",
    "InvalidInput",
    "LookupFailed",
    "NoAnswer",
    "NotFound",
    "Overloaded",
    "TimedOut",
]
