"""The entries of the history: JSON in Redis, so that people can read them there. Pure.

A callback and the lookups that were asked for it share their ``trace_id``. A lookup that two callbacks of a
session wait for has that of the first one.
"""

import msgspec


class LookupPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lookup's part of a callback: its source, and what the rungs of its ladder had.

    ``sets`` names the variables that it gave. ``known_ms`` and ``user_ms`` are the ages of the session's
    record and of the user's, where they were looked at. ``fallback``: one is declared.
    """

    source: str
    code: int
    took_ms: float = 0.0
    age_ms: float | None = None
    input: str = ""
    wave: int = 0
    sets: tuple[str, ...] = ()
    known_ms: float | None = None
    user_ms: float | None = None
    fallback: bool = False


class CallbackEntry(msgspec.Struct, frozen=True, omit_defaults=True, tag="callback", tag_field="kind"):
    """A callback that has been answered. ``at`` is Unix time in seconds, by the clock of its gateway.

    ``inputs`` are its variables and ``variables`` those of the reply; None unless values are kept.
    """

    at: float
    trace_id: str
    app: int
    session: str
    user: str
    path: str
    route: str
    code: int
    took_ms: float
    budget_ms: float
    lookups: dict[str, LookupPart]
    info: str = ""
    inputs: dict[str, str] | None = None
    variables: dict[str, str] | None = None


class AttemptPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt at a backend. ``outcome`` is the name of its code, or CANCELLED; ``reason`` says why.

    ``backend`` is another one than the lookup's, which a Python lookup has asked; ``""`` for its own.

    ``status`` is the response's, if one came. ``body`` is its text, if values are kept; ``size`` its bytes.
    A body that was too long is ``cut``.
    """

    number: int
    outcome: str
    took_ms: float
    reason: str = ""
    status: int | None = None
    size: int = 0
    content_type: str = ""
    body: str | None = None
    cut: bool = False
    backend: str = ""


class LookupEntry(msgspec.Struct, frozen=True, omit_defaults=True, tag="lookup", tag_field="kind"):
    """A lookup that a backend was asked for. ``at`` is when it ended, by the clock of its process.

    ``inputs`` and ``variables`` are None unless values are kept.
    """

    at: float
    trace_id: str
    app: int
    session: str
    user: str
    lookup: str
    backend: str
    code: int
    attempts: tuple[AttemptPart, ...]
    queue_ms: float
    backend_ms: float
    reason: str = ""
    found: bool = True
    unmapped: tuple[str, ...] = ()
    inputs: dict[str, str] | None = None
    variables: dict[str, str] | None = None

    @property
    def decisive(self) -> AttemptPart | None:
        """The attempt that made the answer, else the last one that nobody cancelled."""
        own = [one for one in self.attempts if not one.backend and one.outcome != "CANCELLED"]
        answered = [one for one in own if one.outcome == "OK"]
        return next(reversed(answered or own), None)

    @property
    def reply(self) -> AttemptPart | None:
        """That attempt, if all of its reply's body is kept."""
        one = self.decisive
        return one if one is not None and one.body is not None and not one.cut else None


Entry = CallbackEntry | LookupEntry

encode = msgspec.json.Encoder().encode
"""Return an entry as JSON."""

_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


def decode(data: bytes) -> Entry | None:
    """Return an entry, None for what is none: another release may have written it, or somebody else."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
