"""Writes the log beside the loop: a reader that sleeps, or a full disk, costs lines and never a callback."""

import os
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

BUFFERED = 8 * 1024 * 1024
"""Bytes of lines that wait to be written. One more line is dropped."""

END_WITHIN = 1.0
"""Seconds that the lines which wait get to be written when the process ends."""


class Piece(NamedTuple):
    """Some lines that are written in one go."""

    data: bytes
    lines: int


class Writer:
    """Writes pieces to a file from a thread of its own, which begins with the first piece."""

    def __init__(self, file: int, told: Callable[[int], None], limit: int = BUFFERED) -> None:
        """Take a descriptor. ``told`` gets the number of lines dropped, as soon as one is written again."""
        self._file, self._told, self._limit = file, told, limit
        self._pieces: deque[Piece] = deque()
        self._waiting = 0
        self._dropped = 0
        self._ending = False
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None

    def put(self, piece: Piece) -> None:
        """Have a piece written, or drop it if too much waits. Any thread may call this."""
        with self._changed:
            if self._waiting + len(piece.data) > self._limit:
                self._dropped += piece.lines
                return
            self._pieces.append(piece)
            self._waiting += len(piece.data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            if len(self._pieces) == 1:
                self._changed.notify()

    def close(self) -> None:
        """Write what waits, if that can be done soon."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(END_WITHIN)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._pieces:
                    if self._ending:
                        return
                    self._changed.wait()
                piece = self._pieces.popleft()
            written = self._write(piece.data)
            with self._changed:
                self._waiting -= len(piece.data)
                self._dropped += 0 if written else piece.lines
                dropped = self._dropped if written else 0
                self._dropped -= dropped
            if dropped:
                self._told(dropped)

    def _write(self, data: bytes) -> bool:
        """Write all of ``data``; False if its reader has gone, or the disk is full."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            return False
        return True
