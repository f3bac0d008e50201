"""A TCP balancer, as simple as balancers are: it asks ``/ready`` and sends connections where that is 200."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from typing import Self

import aiohttp

_LOOK_EVERY = 0.1


@dataclass(slots=True)
class Target:
    """A gateway: where it takes callbacks, where its admin port is, and whether it is in use."""

    callbacks: tuple[str, int]
    admin: str
    ready: bool = False


class Balancer:
    """Listens inside ``async with``; ``targets`` may be changed at any time."""

    def __init__(self) -> None:
        """Begin without a target."""
        self.targets: list[Target] = []
        self.address = ("127.0.0.1", 0)
        self._turn = cycle(range(1 << 20))
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen, and look after the targets."""
        self._server = await asyncio.start_server(self._take, *self.address)
        self.address = self._server.sockets[0].getsockname()
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        self._looking.cancel()
        self._server.close()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(self._looking, *self._talks, return_exceptions=True)

    async def _look(self) -> None:
        timeout = aiohttp.ClientTimeout(total=0.5)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while True:
                await asyncio.gather(*(self._look_at(http, target) for target in self.targets))
                await asyncio.sleep(_LOOK_EVERY)

    async def _look_at(self, http: aiohttp.ClientSession, target: Target) -> None:
        try:
            async with http.get(f"http://{target.admin}/ready") as response:
                target.ready = response.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            target.ready = False

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            with suppress(OSError):
                await self._pass_on(reader, writer)
        finally:
            self._talks.discard(talk)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = [target for target in self.targets if target.ready] or self.targets
        first = next(self._turn)
        for offset in range(len(ready)):
            target = ready[(first + offset) % len(ready)]
            try:
                there, back = await asyncio.open_connection(*target.callbacks)
            except OSError:
                target.ready = False
                continue
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_copy(reader, back))
                    group.create_task(_copy(there, writer))
            finally:
                back.close()
            return


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()
