"""Names of backends into addresses, off the loop and off its shared threads.

A look-up of a name may hang for half a minute. On asyncio's shared pool, two such names hold up every
other look-up of the process. So each look-up here has a thread of its own, and equal look-ups are one. A
thread that hangs keeps no process from ending.

Addresses are fresh for a while. Then the last ones serve while they are asked for anew. They also serve if
that fails: a name server in trouble is no backend in trouble.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.process.clock import MONOTONIC, Clock

FRESH = 30.0
"""Seconds for which addresses are used without asking anew."""

LookUp = Callable[[str, int, int], Sequence[tuple[Any, ...]]]
"""Returns what :func:`socket.getaddrinfo` does for a host, a port and a family; blocks; raises OSError."""

_Key = tuple[str, int, int]


def look_up(host: str, port: int, family: int) -> Sequence[tuple[Any, ...]]:
    """Ask the system for the addresses of a host."""
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)


class Names:
    """The addresses of one backend, by name, port and family."""

    def __init__(self, ask: LookUp = look_up, clock: Clock = MONOTONIC) -> None:
        """Take the function that asks the system."""
        self._ask, self._clock = ask, clock
        self._known: dict[_Key, tuple[list[ResolveResult], float]] = {}
        self._asking: dict[_Key, asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(self, *key: *_Key) -> list[ResolveResult]:
        """Return the addresses of a host, port and family; raise OSError if none are and none were known."""
        known = self._known.get(key)
        if known is not None and self._clock.now() < known[1]:
            return known[0]
        asked = self._asking.get(key) or self._begin(key)
        return known[0] if known is not None else await asyncio.shield(asked)

    @property
    def asking(self) -> bool:
        """True while a name is asked for."""
        return bool(self._asking)

    def close(self) -> None:
        """Wait for no look-up any more."""
        for asked in list(self._asking.values()):
            asked.cancel()

    def _begin(self, key: _Key) -> "asyncio.Future[list[ResolveResult]]":
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[list[ResolveResult]] = loop.create_future()
        self._asking[key] = asked
        asked.add_done_callback(lambda done: self._note(key, done))

        def run() -> None:
            try:
                found: object = _results(key[0], self._ask(*key))
            except OSError as error:
                found = error
            except Exception as error:  # noqa: BLE001 - a name that no encoding has, for example
                found = OSError(f"{type(error).__name__}")
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_finish, asked, found)

        threading.Thread(target=run, name=f"resolve {key[0]}", daemon=True).start()
        return asked

    def _note(self, key: _Key, asked: "asyncio.Future[list[ResolveResult]]") -> None:
        """Keep the addresses, or the last ones after a failure; either way, do not ask anew at once."""
        del self._asking[key]
        if asked.cancelled():
            return
        until = self._clock.now() + FRESH
        if asked.exception() is None:
            self._known[key] = asked.result(), until
        elif key in self._known:
            self._known[key] = self._known[key][0], until


class Resolver(AbstractResolver):
    """Names, as aiohttp asks for them."""

    def __init__(self, names: Names | None = None) -> None:
        """Take the names of a backend."""
        self.names = names or Names()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host; raise OSError."""
        return await self.names.resolve(host, port, family)

    async def close(self) -> None:
        """Wait for no look-up any more."""
        self.names.close()


def _finish(asked: "asyncio.Future[list[ResolveResult]]", found: object) -> None:
    if asked.done():
        return
    if isinstance(found, list):
        asked.set_result(found)
    elif isinstance(found, OSError):
        asked.set_exception(found)


def _results(host: str, infos: Sequence[tuple[Any, ...]]) -> list[ResolveResult]:
    """Return addresses as aiohttp takes them; raise OSError if there are none."""
    results = [
        ResolveResult(
            hostname=host,
            host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
            port=address[1],
            family=family,
            proto=proto,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for family, _, proto, _, address in infos
    ]
    if not results:
        msg = "the name has no address"
        raise OSError(msg)
    return results
