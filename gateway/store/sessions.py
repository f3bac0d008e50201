"""The records that this process has seen, held in memory: what answers when Redis cannot."""

from collections import OrderedDict
from collections.abc import Mapping

import msgspec
import structlog

from gateway.core.records import Known, Record

log = structlog.get_logger("deskgate.store")
_decoder = msgspec.msgpack.Decoder(Record)
_MOST_WARNINGS = 20


_warned: set[str] = set()


def decode_record(data: bytes | None) -> Record | None:
    """Return a record as Redis holds it; one that cannot be decoded counts as absent, logged once a kind."""
    if not data:
        return None
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        kind = str(error)
        if kind not in _warned and len(_warned) < _MOST_WARNINGS:
            _warned.add(kind)
            log.warning("record.unreadable", error=kind)
        return None


class Sessions:
    """Records by key, the least recently used out when there are more than ``limit``."""

    def __init__(self, limit: int) -> None:
        """Begin empty."""
        self._limit = limit
        self._known: OrderedDict[str, Known] = OrderedDict()

    def get(self, key: str) -> Known | None:
        """Return the record under ``key`` and note its use."""
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
        return known

    def put(self, key: str, variables: Mapping[str, str], born: float) -> Known:
        """Keep an answer, unless a younger one is held, and return what is held now."""
        held = self._known.get(key)
        if held is None or held.born <= born:
            held = self._known[key] = Known(variables, born)
        self._known.move_to_end(key)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return held

    def read(self, key: str, data: bytes, server_ms: float, now: float) -> Known | None:
        """Keep a record as Redis returned it and return what is held under its key now.

        ``server_ms`` is the server's clock and ``now`` this process's at the same moment: a record's age is
        told on one clock alone.
        """
        record = decode_record(data)
        if record is None:
            return self.get(key)
        age = max(0.0, server_ms - record.written_ms) / 1000
        return self.put(key, record.variables, now - age)

    def __len__(self) -> int:
        """Return the number of records held."""
        return len(self._known)
