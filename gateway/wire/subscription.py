"""A subscription: one channel on a connection of its own, made again whenever it breaks."""

import asyncio
import time
from collections.abc import Callable

from redis.asyncio.connection import Connection

from gateway.process.background import end
from gateway.process.backoff import Backoff
from gateway.process.vital import guard
from gateway.wire.connection import OUTAGE, Inbox, connect, dedicated_connection, hang_up
from gateway.wire.link import RedisLink

_PING_EVERY = 2.5
_SILENCE = 6.0


class _OutdatedError(Exception):
    """The link has another connection by now."""


class Subscription:
    """Hands every message on ``channel`` to ``receive``, for as long as it is started."""

    def __init__(
        self,
        link: RedisLink,
        channel: str,
        receive: Callable[[bytes], None],
        begun: Callable[[], None] | None = None,
    ) -> None:
        """Take the link whose server publishes; ``begun`` is called whenever messages can come (again)."""
        self.channel = channel
        self.present = asyncio.Event()
        self.heard = time.monotonic()
        """When the server was last heard. While ``begun`` is called, that is on the connection before."""
        self._link = link
        self._receive = receive
        self._begun = begun
        self._task: asyncio.Task[None] | None = None
        self._outdated, self._subscribed = asyncio.Event(), asyncio.Event()

    async def start(self, patience: float) -> None:
        """Subscribe, and keep subscribed; wait at most ``patience`` seconds for the first success."""
        self._link.returns.append(self._outdated.set)
        self._task = asyncio.create_task(self._listen())
        guard(self._task, f"the subscription to {self.channel}")
        try:
            async with asyncio.timeout(patience):
                await self.present.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Unsubscribe."""
        if self._task is not None:
            task, self._task = self._task, None
            self._link.returns.remove(self._outdated.set)
            await end(task)

    async def _listen(self) -> None:
        backoff = Backoff()
        before: Connection | None = None
        while True:
            before = await self._listen_once(backoff, before)
            if before is None:
                await backoff.pause()

    async def _listen_once(self, backoff: Backoff, before: Connection | None) -> Connection | None:
        """Listen until the connection breaks, or the link has a new one: then return it, still open.

        The link may lead to another server by then: a master that an orderly failover has made a replica
        keeps its listeners, and nothing published on the new master finds them there. A worker that does not
        listen for a moment counts as dead. So the connection ``before`` listens until this one does.
        """
        connection = dedicated_connection(self._link.redis)
        self._outdated.clear()
        self._subscribed.clear()
        outdated = False
        try:
            await connect(connection, self._link.connect_timeout)
            inbox = Inbox(connection, self._take)
            await connection.send_command("SUBSCRIBE", self.channel)
            async with asyncio.TaskGroup() as group:
                group.create_task(inbox.read())
                group.create_task(self._keep_alive(connection))
                group.create_task(self._follow_the_link(before))
        except* _OutdatedError:
            outdated = True
        except* OUTAGE:  # the link logs the loss of Redis
            if self.present.is_set():
                backoff.reset()
        finally:
            if before is not None:
                await hang_up(before)
            if not outdated:
                self.present.clear()
                await hang_up(connection)
        return connection if outdated else None

    def _take(self, answer: object) -> None:
        if isinstance(answer, list) and answer[0] == b"message":
            self._receive(answer[2])
        elif isinstance(answer, list) and answer[0] == b"subscribe":
            self.present.set()
            self._subscribed.set()
            if self._begun is not None:
                self._begun()
        self.heard = time.monotonic()

    async def _follow_the_link(self, before: Connection | None) -> None:
        """Close the connection before as soon as this one listens; raise when the link has a new one."""
        await self._subscribed.wait()
        if before is not None:
            await hang_up(before)
        await self._outdated.wait()
        raise _OutdatedError

    async def _keep_alive(self, connection: Connection) -> None:
        """Make a silent death of the connection show itself: raise TimeoutError when no ping is answered.

        Only time behind a ping counts. A process that was held up has sent none, and has yet to read.
        """
        silence = 0.0
        while silence + _PING_EVERY < _SILENCE:
            heard = self.heard
            await connection.send_command("PING", check_health=False)
            await asyncio.sleep(_PING_EVERY)
            await asyncio.sleep(0)  # in a turn of the loop timers come before sockets
            silence = silence + _PING_EVERY if self.heard == heard else 0.0
        raise TimeoutError
