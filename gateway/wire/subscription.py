"""A subscription: one channel on a connection of its own, made again whenever it breaks."""

import asyncio
import time
from collections.abc import Callable

from redis.asyncio.connection import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.process.background import end
from gateway.process.backoff import Backoff
from gateway.process.vital import guard
from gateway.wire.connection import OUTAGE, Inbox, connect, dedicated_connection, hang_up
from gateway.wire.link import RedisLink

_PING_EVERY = 2.5
_SILENCE = 6.0


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
        self._outdated = asyncio.Event()

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
        while True:
            connection = dedicated_connection(self._link.redis)
            self._outdated.clear()
            try:
                await connect(connection, self._link.connect_timeout)
                inbox = Inbox(connection, self._take)
                await connection.send_command("SUBSCRIBE", self.channel)
                async with asyncio.TaskGroup() as group:
                    group.create_task(inbox.read())
                    group.create_task(self._keep_alive(connection))
                    group.create_task(self._leave_with_the_link())
            except* OUTAGE:  # the link logs the loss of Redis
                if self.present.is_set():
                    backoff.reset()
            finally:
                self.present.clear()
                await hang_up(connection)
            await backoff.pause()

    def _take(self, answer: object) -> None:
        if isinstance(answer, list) and answer[0] == b"message":
            self._receive(answer[2])
        elif isinstance(answer, list) and answer[0] == b"subscribe":
            self.present.set()
            if self._begun is not None:
                self._begun()
        self.heard = time.monotonic()

    async def _leave_with_the_link(self) -> None:
        """End the connection when the link has a new one, which may lead to another server.

        A master that an orderly failover has made a replica keeps its listeners. Nothing published on the new
        master finds them there.
        """
        await self._outdated.wait()
        msg = "the link has another connection"
        raise RedisConnectionError(msg)

    async def _keep_alive(self, connection: Connection) -> None:
        """Make a silent death of the connection show itself: raise TimeoutError when no ping is answered."""
        begun = time.monotonic()
        while time.monotonic() - max(begun, self.heard) < _SILENCE:
            await asyncio.sleep(_PING_EVERY)
            await connection.send_command("PING", check_health=False)
        raise TimeoutError
