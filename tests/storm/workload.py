"""The workload: sessions whose callbacks come at fixed times. Pure: same seed, same callbacks."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from tests.storm.pace import Pace

SEED = 7
LOOKUPS = ("customer", "order", "orders")
NODES = (LOOKUPS, LOOKUPS[:2], LOOKUPS[1:], LOOKUPS[::2])
"""What a callback may ask for: all three lookups, or two of them."""

FEWEST, MOST = 4, 8
_AGAIN = 0.88
"""Share of asks that repeat inputs, once a lookup has been asked; the first ask of each cannot."""

_RETURNING = 0.25
"""Share of sessions whose user has had one before."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback to send ``at`` so many seconds; ``asks`` has the input of each lookup that it wants."""

    session: int
    number: int
    at: float
    user: str
    asks: Mapping[str, str]

    @property
    def key(self) -> tuple[int, int]:
        """Its key: its session, and its number there."""
        return self.session, self.number

    @property
    def node(self) -> str:
        """The value by which a gateway tells what is asked for."""
        return "+".join(self.asks)


def workload(pace: Pace, seed: int = SEED) -> list[Callback]:
    """Return the callbacks of all sessions in the order of their times."""
    callbacks = [one for session in range(pace.sessions) for one in _session(session, pace, seed)]
    return sorted(callbacks, key=lambda one: one.at)


def _session(session: int, pace: Pace, seed: int) -> Iterator[Callback]:
    """Yield the callbacks of one session, which begins when there is time for all of them."""
    random = Random(f"{seed}:{session}")
    thinks = [0.0, *(_think(random, pace) for _ in range(random.randint(FEWEST, MOST) - 1))]
    hurry = min(1.0, 0.9 * pace.length / sum(thinks))
    at = random.uniform(0.0, pace.length - hurry * sum(thinks))
    user = f"u{random.randrange(session) if session and random.random() < _RETURNING else session}"
    asked: dict[str, list[str]] = defaultdict(list)
    for number, think in enumerate(thinks):
        at += hurry * think
        node = random.choice(NODES)
        asks = {lookup: _input(random, asked[lookup], lookup, session, user) for lookup in node}
        yield Callback(session, number, at, user, asks)


def _think(random: Random, pace: Pace) -> float:
    return pace.think_least + random.expovariate(1 / pace.think_more)


def _input(random: Random, asked: list[str], lookup: str, session: int, user: str) -> str:
    """Return what to ask a lookup: something again, or something new that no other session asks for.

    The first customer of a session is its user, whom another session may have as well.
    """
    if asked and random.random() < _AGAIN:
        return random.choice(asked)
    asked.append(user if lookup == "customer" and not asked else f"{lookup}{session}-{len(asked)}")
    return asked[-1]
