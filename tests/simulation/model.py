"""The model: gateways, Redis and workers as queues, backends as times; discrete events, seeded.

Each process does one thing after the other (:class:`Processor`), with the processor times that the benchmark
measured. A worker has slots: a job holds one while its backend is asked. A lane hands a job to a free slot;
without one it waits, unless it would come too late: then its callback is answered at once, as begin.lua does.
A callback is answered at the deadline at the latest. Times are seconds.

What it leaves out: the network, batches (which make Redis cheaper under load), retries, failures.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor seconds of one callback in each part: from memory, and with a job for a worker."""

    gateway_memory: float
    gateway_live: float
    redis_live: float
    worker: float


@dataclass(frozen=True, slots=True)
class Deployment:
    """What runs. Sessions are spread over the gateways, and over the Redis servers, each with its workers."""

    gateways: int
    workers: int
    slots: int
    redis: int = 1


@dataclass(frozen=True, slots=True)
class Load:
    """What comes: callbacks per second, the share that needs a worker, the backend's median and spread."""

    rate: float
    live: float
    backend: float
    spread: float = 0.0
    budget: float = 1.6


class Processor:
    """One process on its core."""

    def __init__(self) -> None:
        """Begin idle."""
        self.free_at = 0.0
        self.worked = 0.0

    def work(self, now: float, seconds: float) -> float:
        """Return when work that is handed over now is done."""
        self.free_at = max(now, self.free_at) + seconds
        self.worked += seconds
        return self.free_at


class Lane:
    """The slots of some workers behind one Redis server, and the jobs that wait for them."""

    def __init__(self, workers: int, slots: int) -> None:
        """Begin with each slot free."""
        self.workers = [Processor() for _ in range(workers)]
        self.free = deque(one for _ in range(slots) for one in range(workers))
        self.waiting: deque[Callable[[float, int], None]] = deque()
        self.slots = workers * slots
        self.held = 0.0


@dataclass(slots=True)
class Outcome:
    """What came of the second half of a run, in seconds by kind of callback; and how busy each part was."""

    memory: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    late: int = 0
    shed: int = 0
    gateway: float = 0.0
    redis: float = 0.0
    worker: float = 0.0
    slots: float = 0.0

    @property
    def answered_live(self) -> float:
        """The share of the callbacks that needed a worker and had its answer in time."""
        whole = len(self.live) + self.late + self.shed
        return len(self.live) / whole if whole else 1.0

    def percentile(self, share: float) -> float:
        """Return a percentile of the time of the live callbacks; not a number if there is none."""
        times = sorted(self.live)
        return times[max(0, math.ceil(share * len(times)) - 1)] if times else math.nan


class Run:
    """One run of a deployment under a load."""

    def __init__(
        self, deployment: Deployment, load: Load, costs: Costs, seconds: float, seed: int = 1
    ) -> None:
        """Take all of it; nothing has happened yet."""
        self._load, self._costs, self._seconds = load, costs, seconds
        self._random = random.Random(seed)
        self._gateways = [Processor() for _ in range(deployment.gateways)]
        self._redis = [Processor() for _ in range(deployment.redis)]
        per_server = max(1, deployment.workers // deployment.redis)
        self._lanes = [Lane(per_server, deployment.slots) for _ in range(deployment.redis)]
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._takes = load.backend * math.exp(load.spread**2 / 2)
        self.outcome = Outcome()

    def play(self) -> Outcome:
        """Let callbacks come for the seconds of the run, and return what became of them."""
        self._at(self._random.expovariate(self._load.rate), self._arrive)
        while self._events:
            now, _, happen = heapq.heappop(self._events)
            happen(now)
        parts = (self._gateways, self._redis, [one for lane in self._lanes for one in lane.workers])
        busy = [max(one.worked for one in part) / self._seconds for part in parts]
        self.outcome.gateway, self.outcome.redis, self.outcome.worker = busy
        self.outcome.slots = max(lane.held / lane.slots / self._seconds for lane in self._lanes)
        return self.outcome

    def _at(self, when: float, happen: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, happen))

    def _arrive(self, now: float) -> None:
        following = now + self._random.expovariate(self._load.rate)
        if following < self._seconds:
            self._at(following, self._arrive)
        session = self._random.random()
        gateway = self._gateways[int(session * len(self._gateways))]
        if self._random.random() >= self._load.live:
            done = gateway.work(now, self._costs.gateway_memory)
            if self._counts(now):
                self.outcome.memory.append(done - now)
            return
        server = int(self._random.random() * len(self._redis))
        asked = gateway.work(now, self._costs.gateway_live / 2)
        self._at(asked, lambda at: self._begin(at, now, gateway, server))

    def _begin(self, now: float, arrived: float, gateway: Processor, server: int) -> None:
        begun = self._redis[server].work(now, self._costs.redis_live / 2)
        self._at(begun, lambda at: self._hand_over(at, arrived, gateway, server))

    def _hand_over(self, now: float, arrived: float, gateway: Processor, server: int) -> None:
        lane = self._lanes[server]
        left = arrived + self._load.budget - now
        wait = (len(lane.waiting) + 1) * self._takes / lane.slots
        if not lane.free and wait + self._takes > left:
            self.outcome.shed += self._counts(arrived)
            gateway.work(now, self._costs.gateway_live / 2)
            return

        def run(at: float, worker: int) -> None:
            self._ask(at, arrived, gateway, server, worker)

        if lane.free:
            run(now, lane.free.popleft())
        else:
            lane.waiting.append(run)

    def _ask(self, now: float, arrived: float, gateway: Processor, server: int, worker: int) -> None:
        lane = self._lanes[server]
        asked = lane.workers[worker].work(now, self._costs.worker / 2)
        took = self._load.backend * math.exp(self._random.gauss(0.0, self._load.spread))
        lane.held += asked - now + took
        self._at(asked + took, lambda at: self._finish(at, arrived, gateway, server, worker))

    def _finish(self, now: float, arrived: float, gateway: Processor, server: int, worker: int) -> None:
        lane = self._lanes[server]
        read = lane.workers[worker].work(now, self._costs.worker / 2)
        pushed = self._redis[server].work(read, self._costs.redis_live / 2)
        self._at(pushed, lambda at: self._answer(at, arrived, gateway))
        self._at(pushed, lambda at: self._follow(at, lane, worker))

    def _follow(self, now: float, lane: Lane, worker: int) -> None:
        """Give a slot its next job."""
        if lane.waiting:
            lane.waiting.popleft()(now, worker)
        else:
            lane.free.append(worker)

    def _answer(self, now: float, arrived: float, gateway: Processor) -> None:
        done = gateway.work(now, self._costs.gateway_live / 2)
        if not self._counts(arrived):
            return
        if done - arrived <= self._load.budget:
            self.outcome.live.append(done - arrived)
        else:
            self.outcome.late += 1

    def _counts(self, arrived: float) -> bool:
        """True in the second half: queues that grow have grown by then."""
        return arrived >= self._seconds / 2
