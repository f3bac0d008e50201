"""The report shows what was asked of it, where its processes ran included."""

from pathlib import Path

from tests.bench.contestants import FAST, OURS, RAW
from tests.bench.figures import Turn
from tests.bench.hand_off import Pair, section
from tests.bench.meter import Heat, Spent
from tests.bench.placement import Placement
from tests.bench.report import write


def _pair(cpu: float) -> Pair:
    heat = Heat(Turn([1.0] * 1000, 1.0), Spent(1000, 1000, dict.fromkeys(("caller", "worker", "Redis"), cpu)))
    return Pair(heat, heat)


def test_hand_off_reports_placement_and_cpu_with_quartiles(tmp_path: Path) -> None:
    """Time depends on where processes run; CPU per job is the steadier figure. Both are in the document."""
    where = Placement.of({0, 1}).sentence("the worker", "caller and Redis")
    rounds = {OURS: (0.1, 0.2, 0.3), RAW: (0.2, 0.4, 0.6)}
    contest = {one.name: dict(enumerate(map(_pair, rounds.get(one, (0.1,) * 3)))) for one in FAST}
    document = tmp_path / "bench.md"
    write(document, "", {}, [section(FAST, contest, where, [])])
    text = document.read_text()
    assert where in text
    for crowd in ("alone", "64 callers"):
        assert f"| CPU, {crowd} | caller | worker | Redis | all | : raw list |" in text
    assert text.count("| deskgate | 200 | 200 | 200 | 600 (300-900) | 0.50 (0.50-0.50) |") == 2
