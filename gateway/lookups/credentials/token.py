"""A token as the fleet shares it, and what can become of it. Pure.

::

    none ──lease()──▶ granting ──granted()──▶ valid ──80 % of its life──▶ granting, and still valid
     ▲                   │                      │
     └──failed(): a pause┘◀──────dropped()──────┘

One process at a time asks for a token: at some vendors a second one kills the first. Times are seconds on the
board's clock.
"""

from typing import Self

import msgspec

from gateway.core.errors import Code

RENEWED_AT = 0.8
"""Part of its life after which a token is renewed."""

EARLY = 10.0
"""Seconds after its grant within which a token that is refused stays: a new one would be refused as well."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


class Token(msgspec.Struct, frozen=True, array_like=True):
    """The token and its times; who asks for the next one; and why there is none.

    ``refresh`` is the refresh token that came with it, if the server changes that. No grant begins before
    ``again_at``. ``pause`` doubles with each grant that fails, and with each that does not help: then the
    token is ``doubted``, and stays for so long.
    """

    text: str = ""
    until: float = 0.0
    renew_at: float = 0.0
    granted_at: float = 0.0
    refresh: str = ""
    granting: str = ""
    leased: float = 0.0
    reason: str = ""
    code: int = 0
    again_at: float = 0.0
    pause: float = 0.0
    doubted: bool = False

    def __repr__(self) -> str:
        """Hide the token."""
        return f"Token(until={self.until}, reason={self.reason!r})"

    def valid(self, now: float) -> bool:
        """True if requests can use it."""
        return bool(self.text) and now < self.until

    def lease(self, me: str, now: float, seconds: float) -> Self | None:
        """Return it with the next grant given to a process; None if one is under way or it is too early."""
        if now < self.again_at or (self.granting and now < self.leased):
            return None
        if self.valid(now) and now < self.renew_at:
            return None
        return msgspec.structs.replace(self, granting=me, leased=now + seconds)

    def granted(self, me: str, text: str, life: float, refresh: str, now: float) -> Self | None:
        """Return the new token; None if the grant is no longer this process's."""
        if self.granting != me:
            return None
        return type(self)(
            text=text,
            until=now + life,
            renew_at=now + life * RENEWED_AT,
            granted_at=now,
            refresh=refresh or self.refresh,
            pause=0.0 if self.again_at else self.pause,
        )

    def failed(self, me: str, reason: str, code: Code, pause: float, now: float) -> Self | None:
        """Return it after a grant that failed: the old one stays while it is valid."""
        if self.granting != me:
            return None
        length = min(LONGEST_PAUSE, max(FIRST_PAUSE, self.pause * 2))
        return msgspec.structs.replace(
            self,
            granting="",
            leased=0.0,
            reason=reason,
            code=int(code),
            again_at=now + max(length, pause),
            pause=length,
        )

    def dropped(self, text: str, now: float) -> Self | None:
        """Return it without this text, which a backend has refused; None if it stays or is another by now.

        The trouble may be one lookup alone, which nobody with this token may ask: all others need it.
        """
        if not text or self.text != text:
            return None
        if now - self.granted_at >= max(EARLY, self.pause):
            return msgspec.structs.replace(self, text="", pause=self.pause if self.doubted else 0.0)
        if self.doubted:
            return None
        length = min(LONGEST_PAUSE, max(EARLY, self.pause * 2))
        return msgspec.structs.replace(self, doubted=True, pause=length)


NONE = Token()
