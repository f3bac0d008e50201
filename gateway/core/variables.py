"""Variables are strings: how any JSON value becomes one, for what comes in and for what goes out."""

import msgspec


def as_text(value: object) -> str:
    """Return ``value`` as a session variable holds it.

    Text as is, numbers as JSON writes them, booleans ``true`` / ``false``, null ``""``, lists and objects
    as compact JSON. Every sample value of the platform's documentation is a string: ten is ``"10"``.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()
