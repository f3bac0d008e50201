"""The supervisor of this process, spoken to as systemd wishes: sd_notify(3) and sd_listen_fds(3).

The supervisor is systemd, or ``deskgate gateway --processes``, which is spoken to in the same way. Without a
supervisor nothing is sent.
"""

import asyncio
import os
import socket
import time

from gateway.core.errors import DeskgateError
from gateway.declared.environment import environment

SOCKETS_VARIABLE = "DESKGATE_SOCKETS"
"""The variable in which ``--processes`` names the listening sockets of a child: callbacks, then admin."""

_FIRST_PASSED = 3  # SD_LISTEN_FDS_START


class WrongSockets(DeskgateError):
    """The supervisor has handed over sockets that a gateway cannot use. ``str()`` says what to change."""


class Supervisor:
    """The supervisor that the environment names, if there is one."""

    def __init__(self) -> None:
        """Read the environment."""
        self._address = environment("NOTIFY_SOCKET") or ""
        watched = environment("WATCHDOG_PID") in {None, str(os.getpid())}
        timeout = environment("WATCHDOG_USEC") if watched else None
        self.ping_every = int(timeout) / 2_000_000 if timeout and timeout.isdecimal() else None
        """Seconds between two signs of life that the supervisor wants; None if it wants none."""

    def ready(self) -> None:
        """Tell it that this process serves."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Tell it that the configuration is being reloaded; :meth:`ready` follows."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell it that this process is stopping."""
        self._tell("STOPPING=1")

    async def ping(self) -> None:
        """Give signs of life until cancelled; at once return if nobody wants them.

        They come from the event loop. If that hangs, they end, and the supervisor replaces this process.
        """
        while self.ping_every is not None:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self.ping_every)

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.settimeout(0)  # a supervisor that does not listen must not stop us
            try:
                speaker.sendto(state.encode(), address)
            except OSError:
                return  # it has gone: nobody else can be told


class Sockets:
    """Listening sockets that a supervisor has handed over; None for a port that this process opens itself."""

    def __init__(self) -> None:
        """Take over the sockets that the environment names; raise WrongSockets.

        A socket that systemd names ``admin`` (``FileDescriptorName=``) is the admin port. Else the first one
        is the callback port, and the second one the admin port. Those of ``--processes`` may be bound, and
        not listen yet: their connections go to other gateways until this one serves.
        """
        ours = bool(environment(SOCKETS_VARIABLE))
        self.callbacks: socket.socket | None = None
        self.admin: socket.socket | None = None
        for name, number in _passed():
            try:
                handed = socket.socket(fileno=number)
                listens = handed.type == socket.SOCK_STREAM and (
                    ours or handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                )
            except OSError as error:
                msg = f"the supervisor's file {number} is no socket: {error.strerror}"
                raise WrongSockets(msg) from None
            if not listens or handed.family == socket.AF_UNIX:
                msg = f"the supervisor's socket {number} must listen for TCP connections (ListenStream=PORT)"
                raise WrongSockets(msg)
            handed.set_inheritable(False)
            if self.callbacks is None and name != "admin":
                self.callbacks = handed
            elif self.admin is None:
                self.admin = handed
            else:
                msg = "the supervisor hands over too many sockets: a gateway has a callback and an admin port"
                raise WrongSockets(msg)


def _passed() -> list[tuple[str, int]]:
    """Return name and number of each file that was handed over; a file without a name has an empty one."""
    if ours := environment(SOCKETS_VARIABLE):
        return [("", int(number)) for number in ours.split(",")]
    count = environment("LISTEN_FDS") or ""
    if environment("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    names = (environment("LISTEN_FDNAMES") or "").split(":")
    numbers = range(_FIRST_PASSED, _FIRST_PASSED + int(count))
    return [(names[i] if i < len(names) else "", number) for i, number in enumerate(numbers)]
