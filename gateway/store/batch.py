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

    Alone a question leaves at once; else it waits for the answer to those before it, or until there are
    ``most``. A crowd shares its round trips, and nobody waits longer than one.
    """

    def __init__(self, ask: Callable[[list[Q], Answered[A]], None], most: int) -> None:
        """Take what asks a list of questions and calls back with the answers."""
        self._ask = ask
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._under_way = 0

    def add(self, question: Q) -> "asyncio.Future[A]":
        """Ask; the future gets the answer."""
        future: asyncio.Future[A] = self._loop.create_future()
        self._waiting.append((question, future))
        if not self._under_way or len(self._waiting) >= self._most:
            self._send()
        return future

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._under_way += 1
            questions, futures = [question for question, _ in waiting], [future for _, future in waiting]
            self._ask(questions, partial(self._answered, futures))

    def _answered(self, futures: Sequence["asyncio.Future[A]"], answers: Sequence[A] | Exception) -> None:
        self._under_way -= 1
        if self._waiting and not self._under_way:
            self._loop.call_soon(self._send)
        _answer(futures, answers)


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
