"""Writes the log beside the loop: a reader that sleeps, or a full disk, costs lines and never a callback."""

import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from select import PIPE_BUF

BUFFERED = 8 * 1024 * 1024
"""Bytes of lines that wait to be written. One more line is dropped."""

END_WITHIN = 1.0
"""Seconds that the lines which wait get to be written when the process ends."""


GATHERED_FOR = 0.02
"""Seconds that lines wait for further ones, to be written together.

A thread that is woken in each turn of the loop takes the interpreter from it thousands of times a second.
"""


class Writer:
    """Writes lines to a file from a thread of its own, which begins with the first one.

    The collector may run in each line of this class, in the thread that has the lock too, and end an object
    that logs: a task that was never awaited, or a client that nobody has closed. So the lock lets its owner
    in once more, the thread is woken by a queue that does so, and no number is read before a call and
    written behind it.
    """

    def __init__(self, file: int, told: Callable[[int, float], None], limit: int = BUFFERED) -> None:
        """Take a descriptor.

        ``told`` gets the number of lines dropped, and the seconds since the first one, as soon as a line is
        written again.
        """
        self._file, self._told, self._limit = file, told, limit
        self._lines: list[bytes] = []
        self._waiting = 0
        self._dropped = 0
        self.dropped_in_all = 0
        """Lines dropped so far."""
        self._dropping_since = 0.0
        self._cut = False
        self._lock = threading.RLock()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._ending = threading.Event()
        self._begun = False
        self._thread: threading.Thread | None = None

    def put(self, lines: Sequence[bytes]) -> None:
        """Have lines written, or drop them if too much waits. Any thread may call this."""
        size = _size(lines)
        with self._lock:
            if self._waiting + size > self._limit:
                self._drop(len(lines))
                return
            first = not self._lines
            self._lines += lines
            self._waiting += size
            if first:
                self._wake.put(None)
            if not self._begun:
                self._begun = True
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what waits, if that can be done soon."""
        self._ending.set()
        self._wake.put(None)
        if self._thread is not None:
            self._thread.join(END_WITHIN)

    def _run(self) -> None:
        ending = False
        while not ending or self._lines:
            self._wake.get()
            ending = self._ending.wait(GATHERED_FOR)
            with self._lock:
                lines, self._lines = self._lines, []
            for piece in _pieces(lines):
                self._write_piece(piece)

    def _write_piece(self, lines: Sequence[bytes]) -> None:
        written, size = self._write(b"\n".join((*lines, b""))), _size(lines)
        dropped = 0
        with self._lock:
            self._waiting -= size
            if written:
                dropped = self._dropped
                self._dropped = 0
            else:
                self._drop(len(lines))
        if dropped:
            self._told(dropped, time.monotonic() - self._dropping_since)

    def _drop(self, lines: int) -> None:
        if not self._dropped:
            self._dropping_since = time.monotonic()
        self._dropped += lines
        self.dropped_in_all += lines

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


def _size(lines: Sequence[bytes]) -> int:
    """Return the bytes of lines in the file."""
    return sum(map(len, lines)) + len(lines)


def _pieces(lines: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut lines into pieces that a pipe does not mix with another process's; a longer one is alone."""
    piece: list[bytes] = []
    room = PIPE_BUF
    for line in lines:
        if piece and len(line) >= room:
            yield piece
            piece, room = [], PIPE_BUF
        piece.append(line)
        room -= len(line) + 1
    if piece:
        yield piece
