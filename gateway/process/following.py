"""Files that may change while a process runs: looked at every so often, and used once they are whole."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from gateway.declared.environment import digest_of
from gateway.process.aside import aside

LOOK_EVERY = 2.0
"""Seconds between two looks at a file. A new content is used when two looks have found the same."""

TELL_EVERY = 60.0
"""Seconds until it is said again that a new content is refused."""

_UNREADABLE = ""
"""The digest of a content that cannot be read."""


class Followed(ABC):
    """One or several files whose content this process uses."""

    def __init__(self, digest: str) -> None:
        """Take the ``digest_of`` the content that is in use."""
        self._used = self._seen = digest
        self._refused: str | None = None
        self._refused_at = 0.0

    @abstractmethod
    def read(self) -> bytes:
        """Return the content; raise OSError. It runs in a thread: a file system may hang."""

    def digest(self, content: bytes) -> str:
        """Return what tells this content from another."""
        return digest_of(content)

    def digest_in_use(self, content: bytes) -> str:
        """Return the same for the content that has just come into use."""
        return digest_of(content)

    @abstractmethod
    async def use(self, content: bytes) -> None:
        """Use a content from now on. If that raises, the one before stays in use."""

    @abstractmethod
    def refuse(self, error: Exception) -> None:
        """Tell the operator why a new content is not used."""

    async def look(self, *, asked: bool) -> None:
        """Use a new content if there is one. If the operator has ``asked`` for it, use what is there.

        A content that comes back in the place of one that was refused is used anew: so the log and all that
        is told of this file say that it is well again.
        """
        content, digest = await aside(self._read)
        settled, self._seen = digest == self._seen, digest
        if digest == self._used and self._refused is None and not asked:
            return
        told = digest == self._refused and time.monotonic() - self._refused_at < TELL_EVERY
        if not asked and (told or not settled):
            return
        try:
            await self._use(content)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the new one, the old one goes on
            self._refused, self._refused_at = digest, time.monotonic()
            self.refuse(error)
        else:
            self._refused = None

    async def _use(self, content: bytes | OSError) -> None:
        if isinstance(content, OSError):
            raise content
        await self.use(content)
        self._used = self._seen = self.digest_in_use(content)

    def _read(self) -> tuple[bytes | OSError, str]:
        try:
            content = self.read()
        except OSError as error:
            return error, _UNREADABLE
        return content, self.digest(content)


async def follow(files: Sequence[Followed], asked: asyncio.Event) -> None:
    """Look at files until cancelled: every so often, and at once when the operator has ``asked``."""
    while True:
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await asked.wait()
        except TimeoutError:
            pass
        at_once = asked.is_set()
        asked.clear()
        for file in files:
            await file.look(asked=at_once)
