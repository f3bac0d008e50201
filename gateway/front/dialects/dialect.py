"""A dialect: the form of one platform's callbacks and of the replies to them.

The callback port gets one dialect. The dialect verifies who calls (``verify``), decodes the body
(``Verified.decode``), and encodes the reply (``encode``, ``acknowledge``) or the refusal (``refuse``). The
package chooses the dialect of a gateway.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.core.errors import Code
from gateway.core.messages import Callback, Reply, SessionEvent
from gateway.declared.app import App


class Verified(Protocol):
    """A query whose app is known and whose signature holds. Only :meth:`Dialect.verify` makes one."""

    def decode(self, body: bytes, path: str) -> Callback | SessionEvent:
        """Return the callback or the session event that ``body`` holds; ``path`` is the URL's.

        Raise BadRequest or UnknownCommand.
        """


class Dialect(Protocol):
    """One platform's form of callbacks. A dialect keeps no state, and its methods are pure."""

    @property
    def patience(self) -> float:
        """Seconds after which the platform waits for a reply no longer."""

    @property
    def event_variables(self) -> Sequence[str]:
        """The names of the variables that every session event gives."""

    def verify(self, query: str, apps: Mapping[int, App], now: float) -> Verified:
        """Check who calls, before a byte of the body is read.

        ``query`` is the raw query string, ``apps`` are the configured apps by number, ``now`` is Unix time in
        seconds. Raise BadRequest, UnknownApp or Unauthenticated.
        """

    def encode(self, reply: Reply) -> bytes:
        """Return the JSON of the reply to a callback."""

    def acknowledge(self) -> bytes:
        """Return the JSON of the reply to a session event."""

    def refuse(self, code: Code, info: str) -> bytes:
        """Return the JSON of a reply without variables; ``info`` is one line for people."""
