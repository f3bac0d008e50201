"""A batch: the questions of many callers, asked in few calls."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from gateway.process.background import Background

Q = TypeVar("Q")
A = TypeVar("A")


class Batch(Generic[Q, A]):
    """Questions that leave together while others are on their way, as Nagle's algorithm has it (RFC 896).

    A question waits for the answers to those before it, or until there are ``most``. When none is on its way,
    it leaves at once if the last one was alone, too; after a crowd it waits for the rest of its crowd, which
    is the rest of the loop's turn. So nobody waits longer than one round trip.
    """

    def __init__(self, ask: Callable[[list[Q]], Awaitable[Sequence[A]]], most: int) -> None:
        """Take the function that asks a list of questions; it returns the answers in the same order.

        An exception that it raises goes to every caller of that list.
        """
        self._ask = ask
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._calls = Background()
        self._under_way = 0
        self._crowded = False
        self._due = False

    async def add(self, question: Q) -> A:
        """Ask, and return the answer."""
        if not (self._under_way or self._crowded):
            self._note_leaving(1)
            (answer,) = await self._call([question])  # alone, it needs no task but its caller's
            return answer
        future: asyncio.Future[A] = self._loop.create_future()
        self._waiting.append((question, future))
        if len(self._waiting) >= self._most:
            self._send()
        elif not self._under_way:
            self._send_soon()
        return await future

    def _send_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._due = False
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._note_leaving(len(waiting))
            self._calls.start(self._call_for(waiting))

    def _note_leaving(self, questions: int) -> None:
        self._crowded = questions > 1
        self._under_way += 1

    async def _call(self, questions: list[Q]) -> Sequence[A]:
        try:
            return await self._ask(questions)
        finally:
            self._under_way -= 1
            if self._waiting and not self._under_way:
                self._send_soon()  # behind those who have just been answered, and may ask again

    async def _call_for(self, waiting: Sequence[tuple[Q, "asyncio.Future[A]"]]) -> None:
        try:
            answers = await self._call([question for question, _ in waiting])
            for (_, future), answer in zip(waiting, answers, strict=True):
                if not future.done():  # else its caller has gone
                    future.set_result(answer)
        except Exception as error:  # noqa: BLE001 - it is the callers'
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # a caller that has gone must not be reported as one that forgot
