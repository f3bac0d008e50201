"""A soak, from the first worker's start to the last key's end."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from redis.asyncio import Redis

from gateway.core.messages import Answer
from gateway.declared.catalog import Catalog, load
from gateway.tools.processes import Valkey
from tests.desk import when
from tests.processes import Process
from tests.soak.asking import CONFIG, OK, Outcome, ask, hand_off
from tests.soak.fleet import Fleet
from tests.soak.leftovers import Leftovers, lasting, leftovers
from tests.soak.verdict import Death, Seen

PATIENCE = 60.0
"""Seconds in which a fleet has to be there."""

_LOOK_EVERY = 0.1
_answers = msgspec.msgpack.Decoder(list[Answer])


@dataclass(frozen=True, slots=True)
class Plan:
    """At least so many jobs and kills, one every ``kill_every`` seconds in the mean, ``in_flight`` at a time.

    What the dead have left behind has to be gone after ``patience`` seconds. With ``lapse`` the soak ends
    when everything but the records has lapsed.
    """

    jobs: int
    workers: int
    kill_every: float
    in_flight: int
    seed: int
    kills: int = 0
    patience: float = 60.0
    lapse: bool = True


@dataclass(slots=True)
class Progress:
    """How far a soak is."""

    doing: str = "starting"
    ended: int = 0
    failed: int = 0
    kills: int = 0


Tell = Callable[[Progress], None]


async def soak(plan: Plan, tell: Tell = lambda _: None) -> Seen:
    """Run a soak; raise TimeoutError when the fleet does not start."""
    with Valkey() as valkey, TemporaryDirectory(prefix="deskgate-soak-") as name:
        directory = Path(name)
        config = directory / "deskgate.toml"
        config.write_text(CONFIG.format(url=valkey.url))
        async with Redis.from_url(valkey.url) as redis:
            return await Soak(plan, tell, config, redis).run()


class Soak:
    """One run."""

    def __init__(self, plan: Plan, tell: Tell, config: Path, redis: Redis) -> None:
        """Take what to do, and where."""
        self._plan, self._tell, self._config, self._redis = plan, tell, config, redis
        self._catalog: Catalog = load(config)
        self._fleet = Fleet(config, config.parent)
        self._dice = random.Random(plan.seed)
        self._progress = Progress()
        self._pushed: Counter[str] = Counter()

    async def run(self) -> Seen:
        """Return what was seen."""
        for _ in range(self._plan.workers):
            self._fleet.start()
        try:
            await self._everyone_ready()
            caller = await self._call_and_kill()
            self._say("waiting for what the dead held")
            left = await self._until(lasting)
            self._say("asking again what failed")
            failures = [Outcome(*line["outcome"]) for line in caller.events("lookup.failed")]
            again = await self._ask_again(failures)
        finally:
            exits = await asyncio.to_thread(self._fleet.stop)
        self._say("waiting for what has to lapse")
        remaining = await self._until(_remaining) if self._plan.lapse else {}
        left |= lasting(await leftovers(self._redis))
        return self._seen(caller, failures, again, exits, left, remaining)

    async def _everyone_ready(self) -> None:
        async with asyncio.timeout(PATIENCE), hand_off(self._catalog) as side:
            await when(lambda: len(self._fleet.ready) == self._plan.workers)
            while (await ask(side, self._catalog, -1)).code != OK:
                pass

    async def _call_and_kill(self) -> Process:
        """Have lookups made and workers killed until there were enough of both; return the caller, ended."""
        plan, progress = self._plan, self._progress
        command = ("-m", "tests.soak.caller", str(self._config), str(plan.in_flight))
        async with (
            Process(*command, environ={}) as caller,
            self._listening((await caller.event("caller.started"))["channel"]),
        ):
            killer = asyncio.create_task(self._kill())
            self._say("calling")
            while progress.ended < plan.jobs or progress.kills < plan.kills:
                await asyncio.sleep(_LOOK_EVERY)  # the pace of the display
                self._note(caller.events("caller.progress")[-1:])
                if killer.done():
                    killer.result()
            killer.cancel()
            await asyncio.gather(killer, return_exceptions=True)
            await caller.end()
            await caller.event("caller.drained")
        return caller

    async def _kill(self) -> None:
        """Kill a worker now and then; its successor is there before the next one's turn."""
        every = self._plan.kill_every
        while True:
            await when(lambda: len(self._fleet.ready) == self._plan.workers)
            await asyncio.sleep(self._dice.uniform(0.5 * every, 1.5 * every))
            self._fleet.replace(self._dice)
            self._progress.kills += 1

    @asynccontextmanager
    async def _listening(self, channel: str) -> AsyncIterator[None]:
        """Count the answers that are pushed to the caller, by job."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(channel)

            async def listen() -> None:
                async for message in pubsub.listen():
                    if message["type"] == "message":
                        self._pushed.update(answer.job_id for answer in _answers.decode(message["data"]))

            listening = asyncio.create_task(listen())
            try:
                yield
            finally:
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening

    async def _ask_again(self, failures: list[Outcome]) -> list[Outcome]:
        """Return what comes of each failed lookup when it is begun once more: a record will do."""
        async with hand_off(self._catalog) as side:
            asked = (ask(side, self._catalog, one.number, fresh=3600.0) for one in failures)
            return list(await asyncio.gather(*asked))

    async def _until(self, bad: Callable[[Leftovers], dict[str, int]]) -> dict[str, int]:
        """Return ``bad`` of what is left in Redis once it is empty, or after some patience whatever it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.patience):
                while bad(await leftovers(self._redis)):  # noqa: ASYNC110 - Redis tells nobody
                    await asyncio.sleep(_LOOK_EVERY)
        return bad(await leftovers(self._redis))

    def _note(self, told: list[dict[str, Any]]) -> None:
        for line in told:
            self._progress.ended, self._progress.failed = line["ended"], line["failed"]
        self._tell(self._progress)

    def _say(self, doing: str) -> None:
        self._progress.doing = doing
        self._tell(self._progress)

    def _seen(  # noqa: PLR0913, PLR0917 - all that was seen
        self,
        caller: Process,
        failures: list[Outcome],
        again: list[Outcome],
        exits: list[int],
        left: dict[str, int],
        remaining: dict[str, int],
    ) -> Seen:
        (end,) = caller.events("caller.drained")
        members = self._fleet.members
        return Seen(
            asked=end["asked"],
            ended=end["ended"],
            latest=end["latest"],
            failures=failures,
            deaths=[Death(m.killed, frozenset(m.begun), m.in_hand) for m in members if m.killed is not None],
            runs=Counter(number for member in members for number in member.begun if number >= 0),
            doubled=sum(count > 1 for count in self._pushed.values()),
            again=again,
            events=self._fleet.events() + Counter(line["text"].strip() for line in caller.events("text")),
            exits=exits,
            lasting=left,
            remaining=remaining,
        )


def _remaining(kinds: Leftovers) -> dict[str, int]:
    return {kind: left.keys for kind, left in kinds.items()}
