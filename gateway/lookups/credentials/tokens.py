"""Tokens: asked for once for the whole fleet, renewed behind the callbacks, dropped when they are refused."""

import asyncio
import itertools
import random
import time
from collections.abc import Callable

from gateway.core.errors import BackendDenied, Code, NoAnswer, NoToken
from gateway.declared.placing import PlaceTable
from gateway.declared.request import FilledRequest
from gateway.lookups.credentials.grants import Grant, GrantFailed
from gateway.lookups.credentials.placing import put
from gateway.lookups.credentials.token import NONE, Token
from gateway.process.background import Background
from gateway.resilience.board import Board
from gateway.telemetry import events

LEASE = 15.0
"""Seconds after which a process that asks for a token is taken for dead. Its request ends earlier."""

WAIT_SHARE = 0.9
"""Part of an attempt for which it waits for a token that is being asked for."""

ENDING = 3.0
"""Seconds for which a request for a token that is under way may end when its process does."""

_SOONEST = 0.05
_LATEST = 3600.0
_numbers = itertools.count()


class Tokens:
    """The token of one backend."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it stands on
        self,
        grant: Grant,
        place: PlaceTable,
        board: Board,
        backend: str,
        attempt: float,
        share: Callable[[], float] = random.random,
    ) -> None:
        """Take how a token is asked for, where it stands in a request, and the seconds of an attempt.

        ``share`` gives a random number from 0 to 1.
        """
        self._grant, self._place, self._board, self._backend = grant, place, board, backend
        self._patience, self._share = attempt * WAIT_SHARE, share
        # A changed client has another token: the name of the entry says whose it is.
        self._entry = board.entry(f"token:{backend}:{grant.whose}", NONE)
        self._entry.watch(self._tell)
        self._changed = asyncio.Event()
        self._keeping, self._work = Background(), Background()

    def start(self) -> None:
        """Ask for a token now, and renew it behind the requests from now on."""
        self._keeping.start(self._keep())

    async def close(self) -> None:
        """Renew no longer. A grant that is under way gets a moment to end: other processes wait for it.

        The server may have changed the refresh token by now. If nobody hears of that, no other one is good.
        """
        await self._keeping.close()
        await self._work.close(ENDING)
        await self._grant.close()

    async def add(self, request: FilledRequest) -> tuple[FilledRequest, str]:
        """Return the request with the token; raise NoAnswer if there is none."""
        token, now = self._entry.value, self._board.now()
        if not token.valid(now):
            token = await self.obtain()
        elif now >= token.renew_at and not token.granting:
            self._work.start(self._renew())
        return put(request, self._place, token.text), token.text

    async def obtain(self) -> Token:
        """Return a valid token, which may take a while; raise NoAnswer, which says why there is none."""
        try:
            async with asyncio.timeout(
                self._patience
            ):  # the attempt around it has more, and must not end first
                while True:
                    self._changed.clear()
                    token, now = self._entry.value, self._board.now()
                    if token.valid(now):
                        return token
                    if now < token.again_at:
                        raise _failure(token, now)
                    if token.granting and now < token.leased:
                        await self._until_changed(token.leased - now)
                    else:
                        self._work.start(self._renew())
                        await self._changed.wait()
        except TimeoutError:
            msg = f"token: not granted within {self._patience * 1000:.0f} ms"
            raise NoToken(msg) from None

    async def renew(self, used: str) -> bool:
        """Drop a token that the backend has refused; return True if another one is there, or may come."""
        await self._entry.change(lambda token, now: token.dropped(used, now))
        token, now = self._entry.value, self._board.now()
        return token.text != used and (token.valid(now) or now >= token.again_at)

    async def _until_changed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _renew(self) -> None:
        """Ask for a token, unless a process does so, or it is too early."""
        me = f"{self._board.me}.{next(_numbers)}"
        leased = await self._entry.change(lambda token, now: token.lease(me, now, LEASE))
        if leased is None:
            self._changed.set()
            return
        begun = time.monotonic()
        try:
            granted = await self._grant.ask(leased.refresh)
        except GrantFailed as error:
            reason, code, pause = str(error), error.code, error.pause
            await self._entry.change(lambda token, now: token.failed(me, reason, code, pause, now))
            events.token_failed(
                backend=self._backend, code=code, reason=reason, took=time.monotonic() - begun
            )
            return
        text, life, refresh = granted
        if await self._entry.change(lambda token, now: token.granted(me, text, life, refresh, now)):
            events.token_granted(backend=self._backend, seconds=life, took=time.monotonic() - begun)

    async def _keep(self) -> None:
        """Have a token ready at all times."""
        while True:
            await asyncio.wait([self._work.start(self._renew())])  # it outlives this task
            token, now = self._entry.value, self._board.now()
            due = token.renew_at if token.valid(now) else token.again_at
            if token.granting:
                due = max(due, token.leased)
            # Processes must not all wake up at one moment.
            spread = self._share() * min(2.0, max(0.0, token.until - token.renew_at) / 4)
            self._changed.clear()
            await self._until_changed(min(_LATEST, max(_SOONEST, due - now) + spread))

    def _tell(self) -> None:
        self._changed.set()


def _failure(token: Token, now: float) -> NoAnswer:
    msg = f"{token.reason}; asked for again in {token.again_at - now:.0f} s"
    return BackendDenied(msg) if token.code == Code.BACKEND_DENIED else NoToken(msg)
