"""Write docs/faults.md."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from structlog.testing import capture_logs

from gateway.tools.processes import Valkey
from tests.desk import ROOT, Desk, Place
from tests.faults.run import judged, observe, table


async def main() -> None:
    """Play all faults, and write what came of them."""
    with Valkey() as valkey, TemporaryDirectory() as folder:
        async with aiohttp.ClientSession() as http:
            with capture_logs():
                observed = await observe(Place(valkey.url, "faults", ""), Path(folder), Desk(http))
    sys.stderr.write("\n".join(what for one in observed for what in judged(one)) + "\n")
    page = ROOT / "docs" / "faults.md"
    page.write_text(table(observed), encoding="utf-8")
    sys.stdout.write(f"written: {page.relative_to(ROOT)}\n")


asyncio.run(main())
