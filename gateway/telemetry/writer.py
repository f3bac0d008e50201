"""Writes the log beside the loop: a reader that sleeps, or a full disk, costs lines and never a callback."""

import os
import select
import threading
import time
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

    def __init__(self, file: int, told: Callable[[int, float], None], limit: int = BUFFERED) -> None:
        """Take a descriptor.

        ``told`` gets the number of lines dropped, and the seconds since the first one, as soon as a line is
        written again.
        """
        self._file, self._told, self._limit = file, told, limit
        self._pieces: deque[Piece] = deque()
        self._waiting = 0
        self._dropped = 0
        self.dropped_in_all = 0
        """Lines dropped so far."""
        self._dropping_since = 0.0
        self._ending = self._cut = False
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None

    def put(self, piece: Piece) -> None:
        """Have a piece written, or drop it if too much waits. Any thread may call this."""
        with self._changed:
            if self._waiting + len(piece.data) > self._limit:
                self._drop(piece)
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
                if not written:
                    self._drop(piece)
                dropped, self._dropped = (self._dropped, 0) if written else (0, self._dropped)
            if dropped:
                self._told(dropped, time.monotonic() - self._dropping_since)

    def _drop(self, piece: Piece) -> None:
        if not self._dropped:
            self._dropping_since = time.monotonic()
        self._dropped += piece.lines
        self.dropped_in_all += piece.lines

    def _write(self, data: bytes) -> bool:
        """Write all of ``data``; False if its reader has gone, or the disk is full."""
        if self._cut:  # a full disk took a part of a line: the next one must not be glued to it
            data = b"\n" + data
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self._file, view) :]
                except BlockingIOError:  # another process has made the file non-blocking
                    select.select([], [self._file], [])
        except OSError:
            self._cut = self._cut or len(view) < len(data)
            return False
        self._cut = False
        return True
