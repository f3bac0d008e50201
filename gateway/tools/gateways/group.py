"""The gateways of one address, kept running and replaced."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.process.background import Background
from gateway.process.signals import Signals
from gateway.telemetry import events
from gateway.telemetry.logs import Format
from gateway.tools.gateways.member import Ended, Member, NotStarted, Pair

FIRST_PAUSE = 0.5
"""Seconds until a gateway that has died young is replaced: one that dies at once must not spin."""

LONGEST_PAUSE = 60.0
"""Seconds, the most that such a pause grows to."""

GROWN_UP = 10.0
"""Seconds after which a gateway that dies has not died young, and is replaced at once."""

END_WITHIN = 60.0
"""Seconds that gateways get to end by themselves. Then they are killed."""

_LOOK_EVERY = 1.0


Renew = Callable[[Pair], Pair]
"""Closes a pair of sockets, and returns others on their addresses, which do not listen yet."""


class Group:
    """The gateways of one address, one for each pair of sockets."""

    def __init__(
        self, config: Path, pairs: Sequence[Pair], renew: Renew, directory: Path, form: Format | None
    ) -> None:
        """Take the configuration file, the sockets, a folder of their own, and the form of the log.

        ``renew`` makes other sockets of those of a gateway that has gone.
        """
        self._config, self._directory, self._form = config, directory, form
        self._slots = [Slot(pair, renew, self) for pair in pairs]
        self._members: set[Member] = set()
        self._waits = Background()
        self._begun = 0

    @property
    def serving(self) -> bool:
        """True if a gateway serves."""
        return any(member.ready.is_set() for member in self._members)

    async def begin(self, pair: Pair) -> Member:
        """Return a gateway that serves on these sockets; raise NotStarted."""
        self._begun += 1
        member = Member(self._config, pair, self._directory / str(self._begun), self._form)
        await member.start()
        self._members.add(member)
        self._waits.start(self._note_end(member))
        await member.wait_until_ready()
        return member

    async def fill(self) -> None:
        """Start a gateway on each pair; raise NotStarted if not one of them can start."""
        failures = await asyncio.gather(*(slot.fill() for slot in self._slots), return_exceptions=True)
        for failure in failures:
            if isinstance(failure, BaseException) and not (isinstance(failure, NotStarted) and self.serving):
                raise failure

    async def keep(self) -> None:
        """Keep a gateway on each pair until cancelled, and kill those that hang."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            for slot in self._slots:
                group.create_task(slot.keep())

    async def replace_all(self) -> None:
        """Replace one gateway after the other, each when its successor serves."""
        for slot in self._slots:
            if not await slot.replace():
                return

    async def _watch(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            now = time.monotonic()
            late = now - before > 2 * _LOOK_EVERY  # it was this process that stood still
            before = now
            for member in self._members:
                if late:
                    member.heard = now
                member.kill_if_hung(now)

    def send_all(self, number: signal.Signals) -> None:
        """Send a signal to each gateway."""
        for member in self._members:
            member.send(number)

    async def end(self, signals: Signals) -> None:
        """Stop each gateway; drained, unless the operator is in a hurry."""
        hurrying = asyncio.ensure_future(self._hurry(signals.hurry))
        self.send_all(signal.SIGTERM)
        await self._waits.close(END_WITHIN)
        hurrying.cancel()
        self.send_all(signal.SIGKILL)

    async def _hurry(self, hurry: asyncio.Event) -> None:
        await hurry.wait()
        self.send_all(signal.SIGINT)

    async def _note_end(self, member: Member) -> None:
        await member.process.wait()
        self._members.discard(member)
        await member.forget()


class Slot:
    """One pair of sockets, and the gateway that serves on it.

    While there is no gateway, its sockets must not listen: the kernel would go on to give them their share of
    the connections, and nobody would answer.
    """

    def __init__(self, pair: Pair, renew: Renew, group: Group) -> None:
        """Begin without a gateway."""
        self._pair, self._renew, self._group = pair, renew, group
        self._member: Member | None = None
        self._replaced = asyncio.Event()
        self._changing = asyncio.Lock()

    async def fill(self) -> None:
        """Start a gateway if there is none; raise NotStarted."""
        async with self._changing:
            if self._member is None:
                self._member = await self._begin()

    async def keep(self) -> None:
        """Start another gateway whenever the one that serves has ended unasked."""
        pause = FIRST_PAUSE
        while True:
            if member := self._member:
                await self._until_gone(member)
                if member is not self._member:
                    continue  # another one has its place already
                code = await member.process.wait()
                self._member = None
                _tell_death(member.process.pid, code, hung=member.hung)
                async with self._changing:
                    self._leave_connections_to_others()
                pause = 0.0 if time.monotonic() - member.began > GROWN_UP else max(pause, FIRST_PAUSE)
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
            try:
                await self.fill()
            except Ended as error:
                _tell_death(error.pid, error.code)
            except NotStarted as error:
                events.gateway_not_replaced(pid=None, reason=str(error))

    async def _until_gone(self, member: Member) -> None:
        """Return when a gateway has ended, or another one has its place: that one may be the next to end."""
        self._replaced.clear()
        waits = [asyncio.ensure_future(one) for one in (member.process.wait(), self._replaced.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _begin(self) -> Member:
        """Return a gateway that serves on the sockets; raise NotStarted. It may have listened already."""
        try:
            return await self._group.begin(self._pair)
        except NotStarted:
            self._leave_connections_to_others()
            raise

    def _leave_connections_to_others(self) -> None:
        if self._member is None:  # else another one has the sockets already
            self._pair = self._renew(self._pair)

    async def replace(self) -> bool:
        """Give the sockets to a new gateway and have the old one drain; False if the new one cannot start."""
        async with self._changing:
            old = self._member
            try:
                new = await self._begin()
            except NotStarted as error:
                events.gateway_not_replaced(pid=old.process.pid if old else None, reason=str(error))
                return False
            self._member = new
            self._replaced.set()
            if old is not None:
                events.gateway_replaced(pid=old.process.pid, by=new.process.pid)
                old.send(signal.SIGUSR1)
            return True


def _tell_death(pid: int, code: int, *, hung: bool = False) -> None:
    name = signal.Signals(-code).name if code < 0 else None
    events.gateway_died(pid=pid, signal=name, code=code if code >= 0 else None, hung=hung)
