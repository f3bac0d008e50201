"""The processes of one address: what they have counted is shared, since a scrape reaches one by chance.

Each writes what it has counted into a file of its own, every so often and before it answers a scrape. The
answer is the sum of all files, so it never falls back behind an earlier one: Prometheus would take that for a
restart, and count all anew. When a process has ended, its file is folded into one for all that have ended.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.declared.environment import environment
from gateway.process.aside import aside
from gateway.telemetry.tally import Snapshot

SIBLINGS_VARIABLE = "DESKGATE_SIBLINGS"
"""The variable in which ``--processes`` names the file of a child."""

WRITE_EVERY = 1.0
"""Seconds: what a process counted for so long at most is lost if it is killed."""

_SUFFIX = ".counted"
_ENDED = "ended"
_MOST_REMEMBERED = 100


class _Ended(msgspec.Struct):
    """What all that have ended have counted, and the files of the latest of them: they may still be there."""

    counted: Snapshot = Snapshot()
    files: tuple[str, ...] = ()


_snapshots = msgspec.msgpack.Decoder(Snapshot)
_endeds = msgspec.msgpack.Decoder(_Ended)


class Siblings:
    """What this process has counted, and the others of its address: none without ``--processes``."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """Take the function that returns what this process has counted."""
        path = environment(SIBLINGS_VARIABLE)
        self._path = Path(path) if path else None
        self._snapshot = snapshot
        self._writing = asyncio.Lock()  # an older snapshot must not be written over a younger one

    @property
    def alone(self) -> bool:
        """True if no other process has this address."""
        return self._path is None

    async def counted(self) -> Snapshot:
        """Return what all of them have counted; raise OSError for files that cannot be written or read."""
        if self._path is None:
            return self._snapshot()
        await self.write()
        return await aside(_sum, self._path.parent)

    async def write(self) -> None:
        """Write what this process has counted, so that it is not lost when it ends."""
        if self._path is not None:
            async with self._writing:
                await aside(_write, self._path, msgspec.msgpack.encode(self._snapshot()))

    async def keep_written(self) -> None:
        """Write it every so often, until cancelled."""
        while not self.alone:
            with suppress(OSError):  # a full disk: the next scrape says so
                await self.write()
            await asyncio.sleep(WRITE_EVERY)


def fold(folder: Path, name: str) -> None:
    """Add what an ended process has counted to that of all that have ended. Raise OSError.

    ``name`` is that of its file. One process alone may call this.
    """
    path = file_for(folder, name)
    try:
        counted = _snapshots.decode(path.read_bytes()).counted()
    except FileNotFoundError:  # it has never written
        return
    ended = _read_ended(folder)
    if path.name not in ended.files:
        total = Snapshot.sum_of([ended.counted, counted])
        files = (*ended.files, path.name)[-_MOST_REMEMBERED:]
        _write(folder / _ENDED, msgspec.msgpack.encode(_Ended(total, files)))
    path.unlink()


def file_for(folder: Path, name: str) -> Path:
    """Return the file of the process of this name."""
    return folder / f"{name}{_SUFFIX}"


def _sum(folder: Path) -> Snapshot:
    found = {}
    for one in folder.glob(f"*{_SUFFIX}"):
        try:
            found[one.name] = _snapshots.decode(one.read_bytes())
        except FileNotFoundError:  # it has just been folded
            continue
    ended = _read_ended(folder)  # last: a file that was folded meanwhile is in there
    return Snapshot.sum_of([ended.counted, *(of for name, of in found.items() if name not in ended.files)])


def _read_ended(folder: Path) -> _Ended:
    try:
        return _endeds.decode((folder / _ENDED).read_bytes())
    except FileNotFoundError:
        return _Ended()


def _write(path: Path, data: bytes) -> None:
    """Put a content in the place of another one, whole."""
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_bytes(data)
    new.replace(path)
