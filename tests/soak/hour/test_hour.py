"""The second soak in small: no callback is lost, late or wrong, and a loss would be seen."""

import pytest

from tests.soak.hour.callers import Tally
from tests.soak.hour.faults import FAULTS
from tests.soak.hour.run import Hour, run

SOME = {
    "quiet",
    "worker killed",
    "gateways restarted",
    "Redis refuses writes",
    "log reader sleeps",
    "reload by SIGHUP",
}


@pytest.mark.timeout(240)
async def test_no_callback_is_lost_late_or_wrong_under_some_of_the_faults() -> None:
    """A deploy of both gateways behind a balancer is one of them."""
    hour = await run(0.5, [fault for fault in FAULTS if fault.name in SOME])
    assert hour.faults() == []
    assert all(tally.in_time > 200 for tally in hour.tallies.values())
    assert set(hour.tallies) == SOME


@pytest.mark.parametrize(
    ("tally", "fault"),
    [
        (Tally(lost=1, examples=["gone"]), "quiet: 1 lost, 0 wrong, 0 late"),
        (Tally(wrong=1), "quiet: 0 lost, 1 wrong, 0 late"),
        (Tally(late=2), "quiet: 0 lost, 0 wrong, 2 late"),
    ],
)
def test_fault_is_found(tally: Tally, fault: str) -> None:
    """A soak that can only pass promises nothing."""
    assert fault in Hour({"quiet": tally}).faults()
    assert Hour({"quiet": Tally(sent=1, in_time=1)}).faults() == []
    assert Hour(kept=[(10, 300, 1, 1)]).faults()
    assert Hour(kept=[(10, 10, 1, 100_000_000)]).faults()
