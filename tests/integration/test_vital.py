"""A part without which a process is of no use dies of a bug: the process ends, and says so in one line."""

from pathlib import Path

import pytest

from tests.desk import Place
from tests.processes import Process

pytestmark = pytest.mark.timeout(60)

BROKEN = """
import runpy, sys
from gateway.wire import link

async def connect(*_):
    raise KeyError("a bug")

link.connect = connect
sys.argv = ["deskgate", *sys.argv[1:]]
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""
"""The program, with a bug where it connects to Redis."""


@pytest.mark.parametrize("arguments", [("gateway", "gateway"), ("workers",)])
async def test_bug_in_a_vital_part_ends_the_process(
    place: Place, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """A process that looks alive and serves nobody is what a supervisor cannot mend."""
    config = tmp_path / "deskgate.toml"
    config.write_text(place.config())
    command = ("-c", BROKEN, *arguments, "-c", str(config))
    async with Process(*command, environ=place.environ) as process:
        assert await process.ended() == 2
    failed = process.events("process.failed")[0]
    assert "KeyError: 'a bug'" in failed["exception"]
    texts = [line["text"] for line in process.lines if line["event"] == "text"]
    assert len(texts) == 1, texts
    assert "failed: see process.failed in the log" in texts[0]
