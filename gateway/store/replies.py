"""Replies: one subscription per gateway process, on which workers push the answers of its jobs."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec
import structlog
from redis.asyncio.connection import Connection

from gateway.core.messages import Answer
from gateway.store.connection import OUTAGE, backoff, connect, dedicated_connection, hang_up
from gateway.store.keys import Keys
from gateway.store.link import RedisLink

log = structlog.get_logger("deskgate.store")
_decoder = msgspec.msgpack.Decoder(Answer)

_PING_EVERY = 2.0
_SILENCE = 5.0
_MOST_EARLY = 1000


@dataclass(slots=True)
class Pending:
    """A job that this process waits for.

    ``future`` gets the answer and ``heard`` when it came, on the monotonic clock; ``late`` says that nobody
    waits for it any more.
    """

    job_id: str
    lookup: str
    record: str
    future: asyncio.Future[Answer]
    forget: asyncio.TimerHandle
    late: bool = False
    heard: float = field(default=0.0)


class Replies:
    """Jobs by id, each with the future that its answer resolves."""

    def __init__(self, link: RedisLink, keys: Keys, keep: Callable[[Pending, Answer], None]) -> None:
        """Take the link whose server pushes, and ``keep``, called once with every answer that comes."""
        self.channel = keys.channel(uuid4().hex)
        self.subscribed = asyncio.Event()
        self._link = link
        self._keep = keep
        self._pending: dict[str, Pending] = {}
        self._early: OrderedDict[str, Answer] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def expect(self, job_id: str, lookup: str, record: str, patience: float) -> Pending:
        """Return the pending job, the same for all who wait for it; forget it after ``patience`` seconds."""
        pending = self._pending.get(job_id)
        if pending is None:
            loop = asyncio.get_running_loop()
            forget = loop.call_later(patience, self._pending.pop, job_id, None)
            pending = Pending(job_id, lookup, record, loop.create_future(), forget)
            self._pending[job_id] = pending
            if (early := self._early.pop(job_id, None)) is not None:
                self.resolve(early)
        return pending

    def resolve(self, answer: Answer) -> None:
        """Hand an answer to whoever waits, now or in a moment.

        A quick worker's push can be read before the answer to the very command that began its job: the two
        come over different connections.
        """
        pending = self._pending.pop(answer.job_id, None)
        if pending is None:
            self._early[answer.job_id] = answer
            if len(self._early) > _MOST_EARLY:
                self._early.popitem(last=False)
        elif not pending.future.done():
            pending.forget.cancel()
            pending.heard = time.monotonic()
            self._keep(pending, answer)
            pending.future.set_result(answer)

    async def start(self, patience: float) -> None:
        """Subscribe, and keep subscribed; wait at most ``patience`` seconds for the first success."""
        self._task = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(patience):
                await self.subscribed.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Unsubscribe."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        attempt = 0
        while True:
            connection = dedicated_connection(self._link.redis)
            try:
                await self._subscribe(connection)
                attempt = 0
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(connection))
                    group.create_task(self._keep_alive(connection))
            except* OUTAGE:
                self.subscribed.clear()
            finally:
                await hang_up(connection)
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    async def _subscribe(self, connection: Connection) -> None:
        patience = max(1.0, self._link.timeout)
        await connect(connection, patience)
        async with asyncio.timeout(patience):
            await connection.send_command("SUBSCRIBE", self.channel)
            await connection.read_response()
        self.subscribed.set()

    async def _read(self, connection: Connection) -> None:
        while True:
            message = await connection.read_response()
            self._heard = time.monotonic()
            if message[0] == b"message":
                self._receive(message[2])

    async def _keep_alive(self, connection: Connection) -> None:
        """Make a silent death of the connection show itself: raise TimeoutError when no ping is answered."""
        self._heard = time.monotonic()
        while time.monotonic() - self._heard < _SILENCE:
            await asyncio.sleep(_PING_EVERY)
            await connection.send_command("PING", check_health=False)
        raise TimeoutError

    def _receive(self, data: bytes) -> None:
        try:
            answer = _decoder.decode(data)
        except msgspec.MsgspecError as error:
            log.warning("answer.unreadable", error=str(error))
        else:
            self.resolve(answer)
