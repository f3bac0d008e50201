"""deskgate's own caller: a gateway's side of the hand-off, without HTTP. ``… deskgate CONFIG LOOKUP``.

Every call is another session with other inputs and nothing is fresh: each is a job that a worker runs. The
worker is the project's own, ``python -m workers``.
"""

import os
import sys
import time
from itertools import count
from pathlib import Path

import uvloop

from gateway.core.errors import QueueUnavailable
from gateway.core.messages import Job
from gateway.core.records import record_name
from gateway.declared.catalog import load
from gateway.process.garbage import tune_collector
from gateway.queue.hand_off import HandOff
from gateway.queue.jobs import Wanted
from gateway.records.memory import RecordMemory
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.bench.calling import LostError, serve
from tests.bench.configuration import APP

PATIENCE = 2.0


async def caller(config: Path, name: str) -> None:
    """Begin a lookup and wait for its answer."""
    catalog = load(config)
    settings, lookup = catalog.settings, catalog.lookups[name]
    link = RedisLink(settings.redis.url, settings.redis.timeout)
    hand_off = HandOff(link, Keys(settings.redis.prefix), RecordMemory(settings.gateway.local_records))
    await link.start()
    await hand_off.replies.start(patience=PATIENCE)
    run, numbers = os.urandom(4).hex(), count()

    async def call(_: int) -> None:
        session = f"{run}-{next(numbers)}"
        inputs = {lookup.inputs[0]: session}
        record = record_name(APP, session, name, lookup.version, inputs)
        job = Job(name, inputs, APP, session, record, os.urandom(8).hex(), version=lookup.version)
        deadline = time.monotonic() + PATIENCE
        try:
            asked = await hand_off.begin([Wanted(job, lookup.lane, 0.0, lookup.overrun)], deadline)
        except QueueUnavailable:
            raise LostError from None
        await hand_off.wait(asked, deadline)
        if asked[0].answer is None or asked[0].answer.code:
            raise LostError

    tune_collector()
    await serve(call)


if __name__ == "__main__":
    uvloop.run(caller(Path(sys.argv[1]), sys.argv[2]))
