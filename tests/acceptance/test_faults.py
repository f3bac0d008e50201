"""Every fault of a backend, through a real worker: the right code in time, and no good record lost."""

from pathlib import Path

import pytest

from tests.desk import ROOT, Desk, Place
from tests.faults.run import judged, observe, table

pytestmark = pytest.mark.timeout(180)


async def test_every_fault_has_its_code_and_the_good_record_survives(
    place: Place, desk: Desk, tmp_path: Path
) -> None:
    """The page for flow authors says what was seen here."""
    observed = await observe(place, tmp_path, desk)
    assert [what for one in observed for what in judged(one)] == []
    assert (ROOT / "docs" / "faults.md").read_text(encoding="utf-8") == table(observed)
