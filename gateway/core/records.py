"""Records: answers kept for a session, one for each lookup and inputs, and their names."""

import re
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from gateway.core.packing import pack

_PLAIN = re.compile(r"[A-Za-z0-9_.@-]{1,64}", re.ASCII)
_ANOTHER_CLOCK_MS = 1000.0  # as record.lua has it


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An answer as Redis keeps it: the time of its writing (ms on the Redis server's clock), its variables.

    ``user`` is the session's user, ``""`` if not known. By it, all records of a user are found. ``found`` is
    False if the answer was that there is no such thing. begin.lua reads the first field and the last.
    """

    written_ms: float
    variables: dict[str, str]
    user: str = ""
    found: bool = True

    def age(self, server_ms: float) -> float | None:
        """Return its age in seconds, by the Redis server's clock; None if that is not known.

        After a failover the new server's clock may be behind the one by which a record was dated.
        """
        age_ms = server_ms - self.written_ms
        return None if age_ms < -_ANOTHER_CLOCK_MS else max(0.0, age_ms) / 1000


class Known(msgspec.Struct, frozen=True, gc=False):
    """A record in this process: its variables, and when they were ``born``, in seconds on its own clock.

    ``found`` is False if the answer was that there is no such thing.
    """

    variables: Mapping[str, str]
    born: float
    found: bool = True

    def age(self, now: float) -> float:
        """Return the seconds since the answer was written, never less than zero."""
        return max(0.0, now - self.born)


def record_name(  # noqa: PLR0913, PLR0917 - all that an answer may depend on
    app: int, session: str, lookup: str, version: str, inputs: Mapping[str, str], user: str = ""
) -> str:
    """Return the name of the record that answers ``lookup`` for these ``inputs`` in this session.

    Another app, session, lookup or version of it never gives the same name, and other inputs do not either.
    ``user`` is the session's, if a lookup can read it without an input for it.

    The session is readable in the name, for people who look into Redis. If a key cannot show it plainly, its
    digest takes its place.
    """
    asked = (version, sorted(inputs.items()), user) if user else (version, sorted(inputs.items()))
    digest = blake2b(pack(asked), digest_size=16).hexdigest()
    return f"{app}:{_plain(session)}:{lookup}:{digest}"


def user_record_name(app: int, user: str, lookup: str, version: str, inputs: Mapping[str, str]) -> str:
    """Return the name of the record that answers ``lookup`` for these ``inputs`` in any session of this user.

    It is like :func:`record_name`, with ``user=`` and the user in the session's place. No session's name has
    a ``=`` there, so no session can pass for a user.
    """
    digest = blake2b(pack((version, sorted(inputs.items()))), digest_size=16).hexdigest()
    return f"{app}:user={_plain(user)}:{lookup}:{digest}"


def session_of(record: str) -> str:
    """Return the beginning that all records of a session share: app and session, or app and user."""
    return ":".join(record.split(":", 2)[:2])


def session_name(app: int, session: str) -> str:
    """Return the beginning of the names of this session's records, as :func:`session_of` does."""
    return f"{app}:{_plain(session)}"


def user_name(app: int | str, user: str) -> str:
    """Return the beginning of the names of the records that this user's sessions share."""
    return f"{app}:user={_plain(user)}"


def _plain(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    return "~" + blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
