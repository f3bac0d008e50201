"""Commands that cannot run say what to do, in one line."""

import json
from pathlib import Path

import pytest

from tests.desk import APP, ROOT, Place
from tests.processes import Process

pytestmark = pytest.mark.timeout(30)


@pytest.mark.parametrize("command", ["gateway", "worker"])
@pytest.mark.parametrize(
    ("module", "what"),
    [(None, "ModuleNotFoundError"), ("", "AttributeError"), ("1 / 0", "ZeroDivisionError")],
)
async def test_python_lookup_that_cannot_be_imported_is_named(
    place: Place, tmp_path: Path, command: str, module: str | None, what: str
) -> None:
    """Whoever starts it at night needs the lookup and the place to look, not a trace of our own code."""
    if module is not None:
        (tmp_path / "mycrm.py").write_text(module)
    churn = {"python": "mycrm:churn", "variables": {"churn_risk": "risk"}}
    changes = {f"apps.{APP}.redis_lost": "direct", "routes": None, "lookups": {"churn": churn}}
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config(changes))
    environ = {**place.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    async with Process("-m", "gateway", command, "-c", str(config), environ=environ) as process:
        assert await process.ended() == 1
    said = json.dumps(process.lines)
    assert f"lookups.churn: 'mycrm:churn' cannot be imported: {what}" in said
    assert "Traceback" not in said
