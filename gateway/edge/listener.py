"""Accepts connections, and closes those that wait too long or are too many.

asyncio's own servers accept without a limit, and without a limit they stop accepting for a second when
descriptors run out. And they hide connections in the middle of a TLS handshake.
"""

import asyncio
import errno
import math
import select
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from gateway.edge.connections import Connection, Server
from gateway.telemetry import events

TELL_EVERY = 10.0
"""Least seconds between two log lines about too many connections."""

HEARD_FIRST = 0.05
"""Seconds for which one that has just come, or begun a request, makes no room for another one."""

HEARD_FIRST_TLS = 0.25
"""The same, if there is a handshake first: some ways to the client and back."""

_AT_ONCE = 128
_SWEEP_EVERY = 1.0
_SHARE_CLOSED = 16
_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE = 0.05
_LOOK_EVERY = 0.01


class Limits(NamedTuple):
    """How long a connection may wait for a request's head, and for a request; the most connections."""

    header_timeout: float
    idle_timeout: float
    most: int


class Listener:
    """The accepting side of a port."""

    def __init__(
        self, sockets: Sequence[socket.socket], server: Server, tls: ssl.SSLContext | None, limits: Limits
    ) -> None:
        """Take sockets that listen, the maker of connections, the TLS context, and the limits."""
        self._sockets, self._server, self._tls = list(sockets), server, tls
        self.limits = limits
        self._loop = asyncio.get_running_loop()
        self._opening: dict[asyncio.Task[None], Connection] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._told = -TELL_EVERY

    def start(self) -> None:
        """Begin to accept."""
        for listening in self._sockets:
            listening.setblocking(False)  # noqa: FBT003
            self._resume(listening)
        self._sweeper = self._loop.create_task(self._sweep())

    def stop(self) -> None:
        """Accept what has come until now, and nothing more."""
        for listening in self._sockets:
            self._accept(listening)
            self._loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    async def hear_out(self, patience: float) -> None:
        """Stop, and give each connection that has just come so long to bring its first request.

        Its client has been let in, and does not know that we stop: a request is on its way.
        """
        self.stop()
        now = -math.inf
        while self._newest() > now - patience:
            now = self._loop.time()  # before the wait: what comes while the process is held up is read first
            await asyncio.sleep(_LOOK_EVERY)

    def _newest(self) -> float:
        """Return when the last connection came that has brought no request yet, or but a part of one."""
        waiting = [one.since for one in self._server.open if one.reading or not one.requests]
        return max((*waiting, *(one.since for one in self._opening.values())), default=-math.inf)

    async def close(self) -> None:
        """Stop, and drop the connections that are not open yet."""
        self.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        opening = list(self._opening)
        for task, _ in self._not_open():
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        if listening not in self._sockets:  # stopped meanwhile
            return
        for _ in range(_AT_ONCE):
            full = len(self._server.open) + len(self._opening) >= self.limits.most
            if full and _is_wanted(listening) and not self._make_room():
                self._pause(listening, _LOOK_EVERY)
                return
            try:
                accepted, _ = listening.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # it has gone again
                continue
            except OSError as error:
                if error.errno not in _OUT_OF_FILES:
                    raise
                self._make_room()
                self._pause(listening, _PAUSE)
                return
            accepted.setblocking(False)  # noqa: FBT003
            connection = self._server()
            task = self._loop.create_task(self._open(accepted, connection))
            self._opening[task] = connection
            task.add_done_callback(partial(self._opened, accepted))

    def _opened(self, accepted: socket.socket, task: "asyncio.Task[None]") -> None:
        self._opening.pop(task, None)
        if task.cancelled():  # perhaps before its first step
            accepted.close()

    def _pause(self, listening: socket.socket, seconds: float) -> None:
        """Leave those who come in the kernel's queue for so long."""
        self._loop.remove_reader(listening)
        self._loop.call_later(seconds, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        """Accept, each time behind what open connections bring in the same turn: they are not idle."""
        if listening in self._sockets:
            self._loop.add_reader(listening, self._loop.call_soon, self._accept, listening)

    def _not_open(self) -> list[tuple["asyncio.Task[None]", Connection]]:
        """Return those that open. One that is open has a task for a moment more, and perhaps a request."""
        return [(task, one) for task, one in self._opening.items() if one not in self._server.open]

    async def _open(self, accepted: socket.socket, connection: Connection) -> None:
        """Make a connection of an accepted socket, after the TLS handshake if there is one."""
        patience = None if self._tls is None else self.limits.header_timeout
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=patience
            )
        except OSError:  # no TLS, or the client has gone
            accepted.close()
        except asyncio.CancelledError:
            if connection in self._server.open:  # uvloop closes the transport, and tells nobody
                self._loop.call_soon(connection.connection_lost, None)  # aiohttp's task begins before that
            raise

    async def _sweep(self) -> None:
        """Close the connections that have waited too long, every so often.

        In a turn of the loop timers come before sockets. If the process was held up, this looks too early: at
        clients whose requests lie in their sockets. So it looks at the time, waits for a turn that reads what
        has come until then and begins it, and takes nothing that is held up meanwhile for silence.
        """
        while True:
            await asyncio.sleep(min(_SWEEP_EVERY, self.limits.header_timeout / 4))
            now, limits = self._loop.time(), self.limits
            await asyncio.sleep(_LOOK_EVERY)
            await asyncio.sleep(0)
            for one in list(self._server.open):
                if not one.in_hand:
                    patience = (
                        limits.header_timeout if one.reading or not one.requests else limits.idle_timeout
                    )
                    if now - one.since > patience:
                        one.hang_up()

    def _make_room(self) -> bool:
        """Close some connections without a request in hand; False if these are to be heard first.

        Those by which no callback of an app has come go first, and of equals those that have waited longest:
        so a newcomer goes last of its kind. Several go at once, so that a flood does not have us look at all
        of them for each that comes. If the first of them has just come, or just begun a request, so have all
        of its kind: the next one waits in the kernel's queue until they are heard.
        """
        now, patience = self._loop.time(), HEARD_FIRST if self._tls is None else HEARD_FIRST_TLS
        idle: list[tuple[bool, float, bool, Connection | asyncio.Task[None]]] = [
            (one.trusted, one.since, one.reading or not one.requests, one)
            for one in self._server.open
            if not one.in_hand
        ]
        idle += [(False, one.since, True, task) for task, one in self._not_open()]
        idle.sort(key=lambda one: one[:2])
        gone: list[Connection | asyncio.Task[None]] = []
        for _, since, expected, one in idle[: max(1, len(idle) // _SHARE_CLOSED)]:
            if expected and since > now - patience:
                break
            gone.append(one)
            if isinstance(one, Connection):
                one.hang_up()
                self._server.open.discard(one)
            else:
                one.cancel()
                self._opening.pop(one, None)
        if now - self._told >= TELL_EVERY:
            self._told = now
            events.connections_full(connections=len(self._server.open), closed=len(gone))
        return bool(gone) or not idle


def _is_wanted(listening: socket.socket) -> bool:
    """True if a client waits to be accepted."""
    looking = select.poll()
    looking.register(listening, select.POLLIN)
    return bool(looking.poll(0))
