"""A batch: what different callers ask in one turn of the loop, asked in one call."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
Answered = Callable[[Sequence[A] | Exception], None]
"""Takes the answers in the order of the questions, or what went wrong with them all."""


class Batch(Generic[Q, A]):
    """Questions that leave together at the end of the turn, or as soon as there are ``most``."""

    def __init__(self, ask: Callable[[list[Q], Answered[A]], None], most: int) -> None:
        """Take what asks a list of questions and calls back with the answers."""
        self._ask = ask
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []

    def add(self, question: Q) -> "asyncio.Future[A]":
        """Ask; the future gets the answer."""
        future: asyncio.Future[A] = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append((question, future))
        if len(self._waiting) >= self._most:
            self._send()
        return future

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._ask(
                [question for question, _ in waiting], partial(_answer, [future for _, future in waiting])
            )


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
