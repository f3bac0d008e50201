"""Several gateway processes on one address: forked, watched, and stopped together."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import msgspec

from gateway.declared.catalog import Catalog
from gateway.declared.values import Address
from gateway.process.parent import die_with_parent
from gateway.telemetry import events

PAUSE = 0.5
"""Seconds until a gateway that has died is replaced. Without a pause, one that dies at once would spin."""

_STOP = {signal.SIGTERM, signal.SIGINT}
_AWAITED = {*_STOP, signal.SIGCHLD}


def run_several(catalog: Catalog, processes: int, serve: Callable[[Catalog], None]) -> int:
    """Run so many gateways until SIGTERM or SIGINT; return the exit code. It returns in each child, too.

    The kernel spreads the connections over the gateways (SO_REUSEPORT). A gateway that is killed is replaced.
    If one exits with a code, all are stopped: the next one could not run either. Raise OSError for a port
    that is taken.
    """
    settings = catalog.settings
    with _reserve(settings.gateway.listen) as listen, _reserve(settings.gateway.admin) as admin:
        ports = msgspec.structs.replace(settings.gateway, listen=listen, admin=admin)
        catalog = replace(catalog, settings=msgspec.structs.replace(settings, gateway=ports))
        become_child = die_with_parent()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        running: set[int] = set()
        code: int | None = None
        while running or code is None:
            while code is None and len(running) < processes:
                pid = os.fork()
                if pid == 0:
                    if become_child is not None:
                        become_child()
                    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                    serve(catalog)
                    return 0
                running.add(pid)
            received = signal.sigwait(_AWAITED)
            if received in _STOP:
                code = code or 0
                _signal_all(running, received)
                continue
            for pid, ended in _reap():
                running.discard(pid)
                if code is None and ended > 0:
                    code = ended
                    _signal_all(running, signal.SIGTERM)
                elif code is None:
                    events.gateway_died(pid=pid, signal=signal.Signals(-ended).name if ended else None)
                    time.sleep(PAUSE)
        return code


@contextmanager
def _reserve(address: Address) -> Iterator[Address]:
    """Keep a port for processes that share it; give its address. Raise OSError if it is taken."""
    host, port = address
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    if port:  # bound without sharing first: another deskgate's shared port would let us in, too
        socket.create_server((host, port), family=family).close()
    with socket.socket(family) as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind((host, port))
        yield Address((host, kept.getsockname()[1]))


def _signal_all(running: set[int], number: int) -> None:
    for pid in running:
        os.kill(pid, number)  # our child, not yet waited for, so that nobody else can have its pid


def _reap() -> Iterator[tuple[int, int]]:
    """Yield each child that has ended: its pid and its exit code, negative for a signal."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)
