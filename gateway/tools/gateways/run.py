"""Run several gateways: their sockets opened, their life by signals."""

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gateway.declared.gateway import Gateway
from gateway.declared.values import Address
from gateway.process.background import Background
from gateway.process.listening import bind_beside, listen
from gateway.process.signals import Signals
from gateway.process.supervisor import Sockets, Supervisor
from gateway.telemetry.logs import Format
from gateway.tools.gateways.group import Group
from gateway.tools.gateways.member import Ended, Pair


def run_several(config: Path, settings: Gateway, processes: int, form: Format | None) -> int:
    """Run so many gateways until SIGTERM or SIGINT; return the exit code.

    SIGHUP replaces one after the other. A gateway that ends unasked, or hangs, is replaced. The addresses of
    ``settings`` stay for as long as this process runs. Raise OSError for a port that is taken, WrongSockets,
    and NoProcess.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deskgate-")))
        handed = Sockets()
        pairs = stack.enter_context(_open(settings, processes, handed))

        def renew(pair: Pair) -> Pair:
            callbacks, admin = pair
            return _renewed(callbacks, handed.callbacks), _renewed(admin, handed.admin)

        return asyncio.run(_run(Group(config, pairs, renew, directory, form)))


async def _run(group: Group) -> int:
    signals, supervisor = Signals(), Supervisor()
    work = Background()
    try:
        await signals.unless_stopped(group.fill())
        keeping = work.start(group.keep())
        work.start(supervisor.ping())
        stopped = work.start(signals.stop.wait())
        supervisor.ready()
        while not signals.stop.is_set():
            asked = work.start(signals.reload.wait())
            await asyncio.wait([keeping, stopped, asked], return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()  # a bug of ours: it raises
            if signals.reload.is_set():
                signals.reload.clear()
                supervisor.reloading()
                await signals.unless_stopped(group.replace_all())
                supervisor.ready()
    except Ended as error:
        return error.code if error.code > 0 else 1
    finally:
        supervisor.stopping()
        await work.close()
        await group.end(signals)
    return 0


@contextmanager
def _open(settings: Gateway, processes: int, handed: Sockets) -> Iterator[list[Pair]]:
    """Open a pair of listening sockets for each process, or share those that a supervisor has handed over.

    Raise OSError if a port is taken.
    """
    with ExitStack() as stack:
        callbacks = (
            [handed.callbacks] * processes if handed.callbacks else _listen(settings.listen, processes)
        )
        for one in callbacks:
            stack.enter_context(one)
        admins = [handed.admin] * processes if handed.admin else _listen(settings.admin, processes)
        for one in admins:
            stack.enter_context(one)
        yield list(zip(callbacks, admins, strict=True))


def _renewed(one: socket.socket, shared: socket.socket | None) -> socket.socket:
    """Return another socket on the address of one whose gateway has gone.

    That one is closed, unless all gateways share it, or there can be no other.
    """
    if one is shared:
        return one
    with suppress(OSError):
        beside = bind_beside(one)
        one.close()
        return beside
    return one


def _listen(address: Address, count: int) -> list[socket.socket]:
    """Return so many sockets that share a port, and listen. Raise OSError if the port is taken."""
    host, port = address
    if port:  # not shared at first: another deskgate's shared port would let us in, too
        for one in listen(address):
            one.close()
    listening: list[socket.socket] = []
    try:
        for _ in range(count):
            first, *others = listen(Address((host, port)), shared=True)
            listening.append(first)
            for one in others:  # a name with several addresses: the first one is taken
                one.close()
            port = first.getsockname()[1]
    except OSError:
        for one in listening:
            one.close()
        raise
    return listening
