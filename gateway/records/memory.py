"""The records that this process has seen, held in memory: what answers when Redis cannot."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from sys import getsizeof

import msgspec

from gateway.core.packing import UNREADABLE
from gateway.core.records import Known, Record, session_of, user_name
from gateway.telemetry import events

_decoder = msgspec.msgpack.Decoder(Record)
_MOST_WARNINGS = 20
_MOST_FORGOTTEN = 10_000

_RECORD_BYTES = 850
_VARIABLE_BYTES = 80
"""Bytes that a record and each of its variables take beside their text: measured in CPython 3.11."""

_TEXT_BYTES = getsizeof("")

_NEVER = (-math.inf, 0)

_warned: set[str] = set()


def decode_record(data: bytes | None) -> Record | None:
    """Return a record as Redis holds it; one that cannot be decoded counts as absent, logged once a kind."""
    if not data:
        return None
    try:
        record = _decoder.decode(data)
    except UNREADABLE as error:
        kind = str(error)
    else:
        if math.isfinite(record.written_ms):
            return record
        kind = "its time is not finite"
    if kind not in _warned and len(_warned) < _MOST_WARNINGS:
        _warned.add(kind)
        events.record_unreadable(error=kind)
    return None


# Neither this nor Known can be part of a cycle. The garbage collector would look at each of them for a
# microsecond, and stop the process for as long.
class _Session(msgspec.Struct, gc=False):
    """The names of the records held for a session, as a dictionary's keys, and those of its users.

    A visitor who logs in is another user of the same session.
    """

    records: dict[str, None]
    user: str
    users: tuple[str, ...]


class RecordMemory:
    """Records by name. The least recently used leaves when there are more than ``limit`` or too many bytes.

    ``limit_bytes`` is about the memory that they may take of the process. Times that end in ``_ms`` are on
    the Redis server's clock.
    """

    def __init__(self, limit: int, limit_bytes: float = math.inf) -> None:
        """Begin empty."""
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._held: OrderedDict[str, Known] = OrderedDict()
        self._sessions: dict[str, _Session] = {}
        self._forgotten: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._cleared: tuple[float, int] = _NEVER
        self._complete_until: Callable[[], float] = time.monotonic
        self.erasures = 0
        self.bytes = 0

    def be_told_by(self, complete_until: Callable[[], float]) -> float:
        """Take what says until when no message to forget is missing here; return what that was until now.

        The records outlive a configuration. So whoever hears the messages for the next one must know whether
        its predecessor has heard them. Times are on the monotonic clock.
        """
        before, self._complete_until = self._complete_until(), complete_until
        return before

    def resize(self, limit: int, limit_bytes: float) -> None:
        """Hold at most so many records and bytes from the next record on."""
        self._limit, self._limit_bytes = limit, limit_bytes

    def get(self, key: str) -> Known | None:
        """Return the record under ``key`` and note its use."""
        known = self._held.get(key)
        if known is not None:
            self._held.move_to_end(key)
        return known

    def put(self, key: str, known: Known, asked_ms: float = math.inf, user: str = "") -> Known:
        """Keep an answer, unless a younger one is held, and return what is held now.

        An answer is returned, and not kept, if it was asked for (``asked_ms``) before its session was
        forgotten.
        """
        session = session_of(key)
        if self._forgotten and asked_ms <= self._forgotten.get(session, _NEVER)[0]:
            return known
        if asked_ms <= self._cleared[0]:
            return known
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            if held.born > known.born:
                return held
            self.bytes -= _size(key, held.variables)
        self._note(session, key, user)
        self._held[key] = known
        self.bytes += _size(key, known.variables)
        while len(self._held) > self._limit or self.bytes > self._limit_bytes:
            self._drop(next(iter(self._held)))
        return known

    def read(self, key: str, data: bytes, server_ms: float, now: float) -> Known | None:
        """Keep a record as Redis returned it and return what is held under its key now.

        ``server_ms`` is the server's clock and ``now`` this process's at the same moment: each clock measures
        its own part of a record's age. A record of unknown age counts as absent. So does one from before its
        session was forgotten: a backup has brought it back.
        """
        record = decode_record(data)
        age = record.age(server_ms) if record is not None else None
        if record is None or age is None or self._is_forgotten(key, record):
            return self.get(key)
        return self.put(key, Known(record.variables, now - age, record.found), server_ms, record.user)

    def erase(self, names: Iterable[str], at_ms: float = -math.inf) -> int:
        """Forget sessions and users, by the names of ``session_of``; return how many records went.

        A user's sessions go with the user. An answer asked for before ``at_ms`` is not kept any more.
        """
        gone = set(names)
        users = {name for name in gone if ":user=" in name}
        if users:
            gone |= {name for name, session in self._sessions.items() if not users.isdisjoint(session.users)}
        before = len(self._held)
        self.erasures += 1
        for name in gone:
            earlier_ms, _ = self._forgotten.pop(name, _NEVER)
            self._forgotten[name] = max(at_ms, earlier_ms), self.erasures
            for key in list(session.records if (session := self._sessions.get(name)) else ()):
                self._drop(key)
        while len(self._forgotten) > _MOST_FORGOTTEN:
            self._forgotten.popitem(last=False)
        return before - len(self._held)

    def clear(self, at_ms: float) -> None:
        """Forget everybody. An answer asked for before ``at_ms`` is not kept any more."""
        self.erasures += 1
        self._cleared = at_ms, self.erasures
        for key in list(self._held):
            self._drop(key)

    def erased_since(self, names: Iterable[str], mark: float) -> bool:
        """Tell whether one of these sessions or users was forgotten after ``erasures`` was ``mark``."""
        return self._cleared[1] > mark or any(self._forgotten.get(name, _NEVER)[1] > mark for name in names)

    def __len__(self) -> int:
        """Return the number of records held."""
        return len(self._held)

    def _is_forgotten(self, key: str, record: Record) -> bool:
        """True if a record was written before its session or its user was forgotten."""
        if not self._forgotten:
            return False
        session = session_of(key)
        names = session, user_name(session.partition(":")[0], record.user)
        return any(record.written_ms <= self._forgotten.get(name, _NEVER)[0] for name in names)

    def _note(self, name: str, key: str, user: str) -> None:
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = _Session({key: None}, "", ())
        else:
            session.records[key] = None
        if user and user != session.user:
            session.user = user
            if (named := user_name(name.partition(":")[0], user)) not in session.users:
                session.users = (*session.users, named)

    def _drop(self, key: str) -> None:
        known, name = self._held.pop(key), session_of(key)
        self.bytes -= _size(key, known.variables)
        session = self._sessions[name]
        del session.records[key]
        if not session.records:
            del self._sessions[name]


def _size(key: str, variables: Mapping[str, str]) -> int:
    """Return about what a record takes, in bytes: CPython gives each character as much as the widest one."""
    texts = (key, *variables, *variables.values())
    text = sum(map(getsizeof, texts)) - _TEXT_BYTES * len(texts)
    return _RECORD_BYTES + _VARIABLE_BYTES * len(variables) + text
