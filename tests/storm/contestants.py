"""The contestants, and how each is started: its receiver of callbacks, and its two workers, if any."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.tools.processes import deskgate
from tests.bench.stage import wait_for_port
from tests.storm.generator import TOKEN
from tests.storm.pace import Pace
from tests.storm.place import Place

WORKERS = 2
OURS = "deskgate"
CONFIG = Path(__file__).with_name("deskgate.toml")
_DIRECT = [sys.executable, "-m", "tests.storm.handlers.direct"]
_ARQ = [sys.executable, "-m", "tests.storm.handlers.arq_plain"]


def _deskgate(place: Place, port: int, pace: Pace) -> None:
    environ = {
        "PORT": str(port),
        "REDIS_URL": place.redis_url,
        "CRM_URL": place.crm_url,
        "DESK_TOKEN": TOKEN,
        "ORDER_FRESH": f"{pace.fresh['order']:g}s",
    }
    place.front(deskgate("gateway", "-c", str(CONFIG)), environ)
    for _number in range(WORKERS):
        place.worker(deskgate("worker", "-c", str(CONFIG)), environ)


def _direct(place: Place, port: int, _: Pace) -> None:
    place.front([*_DIRECT, str(port), place.crm_url], {})


def _arq_plain(place: Place, port: int, _: Pace) -> None:
    place.front([*_ARQ, "handler", str(port), place.redis_url], {})
    for _number in range(WORKERS):
        place.worker([*_ARQ, "worker", place.crm_url, place.redis_url], {})


_STARTS: Mapping[str, Callable[[Place, int, Pace], None]] = {
    OURS: _deskgate,
    "direct": _direct,
    "arq-plain": _arq_plain,
}
CONTESTANTS = tuple(_STARTS)


def start(contestant: str, place: Place, port: int, pace: Pace) -> None:
    """Start a contestant at a place; return when it listens. Raise CannotStart."""
    _STARTS[contestant](place, port, pace)
    wait_for_port(port)
