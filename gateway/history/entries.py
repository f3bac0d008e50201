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
