"""The deployment of the soak, and the hands by which faults reach into it."""

from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Self

from redis.asyncio import Redis

from gateway.crm.server import Crm
from gateway.tools.processes import Valkey
from tests.desk import Place, when
from tests.processes import GatewayProcess, WorkerProcess
from tests.soak.hour.balancer import Balancer, Target

SETTINGS = {"backends.crm.concurrency": 100}


class Stage:
    """Two gateways behind a balancer, two workers, a Valkey, a CRM: all there inside ``async with``."""

    def __init__(self, directory: Path) -> None:
        """Take a folder for the configuration."""
        self.config = directory / "deskgate.toml"
        self.valkey, self.crm, self.balancer = Valkey(), Crm(), Balancer()
        self.gateways: list[GatewayProcess] = []
        self.workers: list[WorkerProcess] = []
        self.ended: list[GatewayProcess | WorkerProcess] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all."""
        self._stack.enter_context(self.valkey)
        await self._stack.enter_async_context(self.crm)
        self.place = Place(self.valkey.url, "hour", self.crm.url)
        self.configure()
        await self._stack.enter_async_context(self.balancer)
        for _ in range(2):
            await self.add_gateway()
            await self.add_worker()
        await when(lambda: all(target.ready for target in self.balancer.targets))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop all."""
        await self._stack.aclose()

    @property
    def processes(self) -> list[GatewayProcess | WorkerProcess]:
        """The gateways and workers that run."""
        return [*self.gateways, *self.workers]

    def configure(self, fresh: str = "300ms") -> None:
        """Write the configuration."""
        text = self.place.config(
            SETTINGS, budget="1.6s", attempt_timeout="600ms", redis_timeout="100ms", fresh=fresh, drain="2s"
        )
        self.config.write_text(text)

    async def add_gateway(self) -> GatewayProcess:
        """Start a gateway, and put it behind the balancer."""
        gateway = await self._stack.enter_async_context(GatewayProcess(self.config, self.place))
        host, port = await gateway.address()
        admin = gateway.events("gateway.started")[0]["admin"]
        self.gateways.append(gateway)
        self.balancer.targets.append(Target((host, port), admin, ready=True))
        return gateway

    async def add_worker(self) -> WorkerProcess:
        """Start a worker."""
        worker = await self._stack.enter_async_context(WorkerProcess(self.config, self.place))
        self.workers.append(worker)
        return worker

    async def replace_gateway(self, number: Signals) -> None:
        """End the oldest gateway by a signal, and start another one: before, or after a crash."""
        if number is not SIGKILL:
            await self.add_gateway()
        oldest = self.gateways.pop(0)
        self.ended.append(oldest)
        await oldest.end(number)
        del self.balancer.targets[0]
        if number is SIGKILL:
            await self.add_gateway()

    async def replace_worker(self, number: Signals) -> None:
        """End the oldest worker by a signal, and start another one."""
        oldest = self.workers.pop(0)
        self.ended.append(oldest)
        await oldest.end(number)
        await self.add_worker()

    async def redis(self, *command: str) -> None:
        """Send Redis a command."""
        async with Redis.from_url(self.valkey.url) as redis:
            await redis.execute_command(*command)
