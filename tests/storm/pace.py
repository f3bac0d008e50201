"""How long a storm takes: the whole in forty minutes, the quick one in six."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """One scenario's schedule. Times are seconds from its beginning, or durations in seconds.

    Between two callbacks of a session lies a think time: ``think_least`` and an exponential of the mean
    ``think_more``. ``fresh`` says for each lookup how old a record may be before it is asked anew.
    """

    sessions: int
    length: float
    trouble_from: float
    trouble_until: float
    think_least: float
    think_more: float
    kill_every: float
    redis_away: float
    order_fresh: float

    @property
    def fresh(self) -> dict[str, float]:
        """The age up to which a lookup's record is served without asking, as the configuration has it."""
        return {"customer": 60.0, "order": self.order_fresh, "orders": 60.0}


WHOLE = Pace(
    sessions=2000,
    length=110.0,
    trouble_from=25.0,
    trouble_until=85.0,
    think_least=2.0,
    think_more=4.0,
    kill_every=10.0,
    redis_away=10.0,
    order_fresh=10.0,
)
QUICK = Pace(
    sessions=200,
    length=11.0,
    trouble_from=2.5,
    trouble_until=8.5,
    think_least=0.4,
    think_more=0.8,
    kill_every=3.0,
    redis_away=2.0,
    order_fresh=2.0,
)
PACES = {"whole": WHOLE, "quick": QUICK}
