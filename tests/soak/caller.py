"""The caller process of the soak: lookups of ever new numbers, so many in flight, until SIGTERM.

``python -m tests.soak.caller CONFIG IN_FLIGHT``. It tells on standard output, in lines of JSON: the channel
by which it hears its answers, how far it is, each lookup that failed, and in the end the sum.
"""

import asyncio
import json
import signal
import sys
from itertools import count
from pathlib import Path

import uvloop

from gateway.declared.catalog import load
from gateway.telemetry.logs import configure_logs
from tests.soak.asking import OK, ask, hand_off

TELL_EVERY = 0.1


def tell(event: str, **fields: object) -> None:
    """Write one line."""
    print(json.dumps({"event": event, **fields}), flush=True)  # noqa: T201 - it is what the process is for


class Caller:
    """So many closed loops, and what came of their lookups."""

    def __init__(self) -> None:
        """Begin with number 0."""
        self.numbers = count()
        self.ended = self.failed = 0
        self.latest = 0.0
        self.stop = asyncio.Event()

    async def run(self, config: Path, in_flight: int) -> None:
        """Call until stopped; return when every lookup has come to its end."""
        catalog = load(config)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop.set)
        async with hand_off(catalog) as side:
            tell("caller.started", channel=side.replies.channel)
            telling = asyncio.create_task(self.tell())

            async def loop() -> None:
                while not self.stop.is_set():
                    outcome = await ask(side, catalog, next(self.numbers))
                    self.ended += 1
                    self.latest = max(self.latest, outcome.delay)
                    if outcome.code != OK:
                        self.failed += 1
                        tell("lookup.failed", outcome=outcome)
                        await asyncio.sleep(0)  # a refusal takes no time, and Redis has to be found again

            await asyncio.gather(*(loop() for _ in range(in_flight)))
            telling.cancel()
        tell("caller.drained", asked=next(self.numbers), ended=self.ended, latest=self.latest)

    async def tell(self) -> None:
        """Tell every now and then how far it is."""
        while True:
            tell("caller.progress", ended=self.ended, failed=self.failed)
            await asyncio.sleep(TELL_EVERY)


async def main() -> None:
    """Run a caller as the command line says."""
    configure_logs("caller", "json")
    await Caller().run(Path(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    uvloop.run(main())
