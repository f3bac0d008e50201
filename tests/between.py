"""A TCP proxy that falls silent, as a firewall that forgets connections, or a host that is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Between:
    """Carries bytes to a local server and back, until it is told not to."""

    def __init__(self, behind: int | str) -> None:
        """Take the port of the server behind it, or its unix socket."""
        self._behind = behind
        self.port = 0
        self.carrying = asyncio.Event()
        """Whether connections, those that are there and new ones, carry anything."""
        self.carrying.set()
        self.connections = 0
        self._pumps: set[asyncio.Task[None]] = set()

    def lead_to(self, port: int) -> None:
        """Carry new connections to another server; those that are there stay."""
        self._behind = port

    def forget(self) -> None:
        """Carry nothing more on the connections that are there; new ones are carried."""
        self.carrying = asyncio.Event()
        self.carrying.set()
        for pump in self._pumps:
            pump.cancel()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Between"]:
        """Listen."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        writers = self._writers = list[asyncio.StreamWriter]()
        async with server:
            try:
                yield self
            finally:
                pumps = list(self._pumps)
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                for writer in writers:
                    writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        if isinstance(self._behind, str):
            behind, to_behind = await asyncio.open_unix_connection(self._behind)
        else:
            behind, to_behind = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers.append(to_behind)
        for pump in (self._pump(reader, to_behind), self._pump(behind, writer)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = self.carrying
        with suppress(ConnectionError):
            while got := await reader.read(65536):
                await carrying.wait()
                writer.write(got)
                await writer.drain()
            writer.close()
