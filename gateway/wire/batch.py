"""A batch: what many callers ask, asked in few calls."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
Answered = Callable[[Sequence[A] | Exception], None]
"""Takes the answers in the order of the questions, or what went wrong with them all."""


class Batch(Generic[Q, A]):
    """Questions that leave together while others are on their way, as Nagle's algorithm has it (RFC 896).

    A question waits for the answers to those before it, or until there are ``most``. When none is on its way,
    it leaves at once if the last one was alone, too; after a crowd it waits for the rest of its crowd, which
    is the rest of the loop's turn. So nobody waits longer than one round trip.
    """

    def __init__(self, ask: Callable[[list[Q], Answered[A]], None], most: int) -> None:
        """Take what asks a list of questions and calls back with the answers."""
        self._ask = ask
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._under_way = 0
        self._crowded = False
        self._due = False

    def add(self, question: Q) -> "asyncio.Future[A]":
        """Ask; the future gets the answer."""
        future: asyncio.Future[A] = self._loop.create_future()
        self._waiting.append((question, future))
        if len(self._waiting) >= self._most or not (self._under_way or self._crowded):
            self._send()
        elif not self._under_way:
            self._send_soon()
        return future

    def _send_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._due = False
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._crowded = len(waiting) > 1
            self._under_way += 1
            questions, futures = [question for question, _ in waiting], [future for _, future in waiting]
            self._ask(questions, partial(self._answered, futures))

    def _answered(self, futures: Sequence["asyncio.Future[A]"], answers: Sequence[A] | Exception) -> None:
        self._under_way -= 1
        _answer(futures, answers)
        if self._waiting and not self._under_way:
            self._send_soon()  # behind those who have just been answered, and may ask again


def _answer(futures: Sequence["asyncio.Future[A]"], answers: Sequence[A] | Exception) -> None:
    if isinstance(answers, Exception):
        for future in futures:
            if not future.done():
                future.set_exception(answers)
                future.exception()  # a caller that has gone must not be reported as one that forgot
        return
    for future, answer in zip(futures, answers, strict=True):
        if not future.done():
            future.set_result(answer)
