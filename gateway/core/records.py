"""Records: an answer kept for a session, one per lookup and inputs, and the name that says so."""

import re
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from gateway.core.packing import pack

_PLAIN = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An answer as Redis keeps it: when it was written (ms on the Redis server's clock) and its variables.

    ``user`` is whose session it was, ``""`` when that is not known: by it all records of a user are found.
    """

    written_ms: float
    variables: dict[str, str]
    user: str = ""


class Known(msgspec.Struct, frozen=True, gc=False):
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
    digest = blake2b(pack((version, sorted(inputs.items()))), digest_size=16).hexdigest()
    return f"{app}:{_plain(session)}:{lookup}:{digest}"


def user_record_name(app: int, user: str, lookup: str, version: str, inputs: Mapping[str, str]) -> str:
    """Return the name of the record that answers ``lookup`` for these ``inputs`` in any session of this user.

    It is :func:`record_name`'s with ``user=`` before the user: no session's name has a ``=``, so none passes
    for a user, whatever it is called.
    """
    digest = blake2b(pack((version, sorted(inputs.items()))), digest_size=16).hexdigest()
    return f"{app}:user={_plain(user)}:{lookup}:{digest}"


def session_of(record: str) -> str:
    """Return what the names of all records of a session begin with: app and session, or app and user."""
    return ":".join(record.split(":", 2)[:2])


def session_name(app: int, session: str) -> str:
    """Return what :func:`session_of` returns for the records of this session."""
    return f"{app}:{_plain(session)}"


def user_name(app: int | str, user: str) -> str:
    """Return what :func:`session_of` returns for the records that this user's sessions share."""
    return f"{app}:user={_plain(user)}"


def _plain(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    return "~" + blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
