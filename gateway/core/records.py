"""Records: an answer kept for a session, one per lookup and inputs, and the name that says so."""

import re
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_PLAIN = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An answer as Redis keeps it: when it was written (ms on the Redis server's clock) and its variables."""

    written_ms: float
    variables: dict[str, str]


class Known(msgspec.Struct, frozen=True):
    """A record in hand: its variables and when they were ``born``, in seconds on this process's clock."""

    variables: Mapping[str, str]
    born: float

    def age(self, now: float) -> float:
        """Return the seconds since the answer was written, never less than zero."""
        return max(0.0, now - self.born)


def record_name(app: int, session: str, lookup: str, version: str, inputs: Mapping[str, str]) -> str:
    """Return the name of the record that answers ``lookup`` for these ``inputs`` in this session.

    Other inputs, another lookup or version of it, another session or app never give the same name. The
    session stays readable for whoever looks into Redis; one that a key cannot show plainly is replaced by its
    digest.
    """
    digest = blake2b(_encode((version, sorted(inputs.items()))), digest_size=16).hexdigest()
    return f"{app}:{_plain(session)}:{lookup}:{digest}"


def _plain(session: str) -> str:
    if _PLAIN.fullmatch(session):
        return session
    return "~" + blake2b(session.encode(errors="surrogatepass"), digest_size=16).hexdigest()
