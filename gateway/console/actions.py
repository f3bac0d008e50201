"""What an operator may do in the console. Each action is told in the log: what, to whom, from where."""

from collections.abc import Awaitable, Callable, Iterator

import msgspec

from gateway.console.sight import Sight
from gateway.core.errors import DeskgateError, QueueUnavailable
from gateway.core.units import brief_duration
from gateway.declared.breaker import Breaker
from gateway.fleet.reloading import wish_for_reload
from gateway.forgetting.erase import Whom, erase
from gateway.front.service import Service
from gateway.resilience import operating
from gateway.telemetry import events

USUAL_HOLD = 600.0
"""Seconds of a hold, if nobody says for how long."""


class Wanted(msgspec.Struct, frozen=True):
    """What an action, or a page, is about; each takes what it needs."""

    backend: str = ""
    seconds: float = USUAL_HOLD
    session: str = ""
    app: int | None = None


class CannotAct(DeskgateError):
    """An action of the console cannot be taken; ``str()`` says why."""


class Actions:
    """The actions, by their names in paths."""

    def __init__(self, sight: Sight) -> None:
        """Take the way to what runs."""
        self._sight = sight
        self._of: dict[str, Callable[[Service, Wanted], Awaitable[str]]] = {
            "hold": self._hold,
            "release": self._release,
            "open-breaker": self._open_breaker,
            "close-breaker": self._close_breaker,
            "forget": self._forget,
            "reload": self._reload,
        }

    def __iter__(self) -> Iterator[str]:
        """Return the names of all actions."""
        return iter(self._of)

    async def act(self, name: str, wanted: Wanted, remote: str | None) -> str:
        """Do it; return what has been done. Raise CannotAct."""
        service = self._sight.service()
        if service.link.lost:
            msg = "Redis cannot be reached: the other processes would not hear of it, so nothing was done"
            raise CannotAct(msg)
        try:
            done = await self._of[name](service, wanted)
        except QueueUnavailable as error:
            msg = f"nothing was done: {service.link.why(error)}"
            raise CannotAct(msg) from None
        events.console_acted(action=name, about=wanted.session or wanted.backend, remote=remote)
        return done

    async def _hold(self, service: Service, wanted: Wanted) -> str:
        lane = _lane(service, wanted)
        seconds = min(wanted.seconds, operating.LONGEST_HOLD)
        if not seconds > 0:
            msg = "seconds must be more than zero"
            raise CannotAct(msg)
        await operating.hold(service.board, lane, seconds)
        return f"{lane} is held for {brief_duration(seconds)}: the last known answers go out"

    async def _release(self, service: Service, wanted: Wanted) -> str:
        lane = _lane(service, wanted)
        await operating.release(service.board, lane)
        return f"{lane} is asked again"

    async def _open_breaker(self, service: Service, wanted: Wanted) -> str:
        lane = _lane(service, wanted)
        seconds = _breaker(service, lane).break_duration
        await operating.open_breaker(service.board, lane, float(seconds))
        return f"the breaker of {lane} is open; a probe follows in {brief_duration(seconds)}"

    async def _close_breaker(self, service: Service, wanted: Wanted) -> str:
        lane = _lane(service, wanted)
        _breaker(service, lane)
        await operating.close_breaker(service.board, lane)
        return f"the breaker of {lane} is closed"

    async def _forget(self, service: Service, wanted: Wanted) -> str:
        if not wanted.session:
            msg = "name a session"
            raise CannotAct(msg)
        catalog = service.catalog
        whom = Whom(tuple(catalog.apps), wanted.app, wanted.session)
        try:
            removed = await erase(catalog.settings.redis.url, service.keys, whom, lambda _: None)
        except QueueUnavailable as error:
            raise CannotAct(str(error)) from None
        return f"forgotten: {removed} record{'s' * (removed != 1)}, and the history"

    async def _reload(self, service: Service, _: Wanted) -> str:
        await wish_for_reload(service.board)
        return "every process reads its configuration file now"


def _lane(service: Service, wanted: Wanted) -> str:
    if wanted.backend not in service.catalog.backends:
        msg = f"there is no backend {wanted.backend!r}"
        raise CannotAct(msg)
    return wanted.backend


def _breaker(service: Service, lane: str) -> Breaker:
    settings = service.catalog.backend(lane).breaker
    if settings == "off":
        msg = f"{lane} has no breaker; hold it instead"
        raise CannotAct(msg)
    return settings
