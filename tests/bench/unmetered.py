"""A gateway or a worker that counts nothing, to be compared with one as users run it."""

import sys

from gateway.cli import main
from gateway.telemetry import events
from gateway.telemetry.tally import tally
from workers.cli import main as worker

events.instruments.remove(tally)
(worker if sys.argv[1] == "worker" else main)(sys.argv[1 + (sys.argv[1] == "worker") :])
