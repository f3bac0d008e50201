"""The metrics of a process: what it has counted, with its siblings, and what is looked up at a scrape."""

import asyncio
from collections.abc import Sequence

from gateway.process.siblings import Siblings
from gateway.telemetry.families import Gauge
from gateway.telemetry.tally import tally


class Metrics:
    """What a scrape of this process shows."""

    def __init__(self) -> None:
        """Take the tally of this process."""
        self.siblings = Siblings(tally.snapshot)

    async def page(self, gauges: Sequence[Gauge], accept: str) -> tuple[str, bytes]:
        """Return the content type and the body of a scrape; raise OSError if siblings cannot be read."""
        counted = await self.siblings.counted()

        def expose() -> tuple[str, bytes]:  # in a thread: thousands of lines take some ms
            from gateway.telemetry import exposition  # noqa: PLC0415 - loaded where there is a scrape

            return exposition.expose(counted, gauges, accept=accept, of_process=self.siblings.alone)

        return await asyncio.to_thread(expose)
