"""Variables are strings: how any JSON value becomes one, for what comes in and for what goes out."""

import msgspec


def as_text(value: object) -> str:
    """Return ``value`` as a session variable holds it.

    Text as is, numbers as JSON writes them, booleans ``true`` / ``false``, null ``""``, lists and objects
    as compact JSON; what JSON writes as text (a date, a decimal) is that text. Every sample value of the
    platform's documentation is a string: ten is ``"10"``. Raise ValueError for text that UTF-8 cannot hold.
    """
    if isinstance(value, str):
        if not value.isascii():
            value.encode()
        return str.__add__("", value)  # an enumeration's member, say, becomes plain text
    if value is None:
        return ""
    text = msgspec.json.encode(value).decode()
    if text == "null":  # not a number, or infinite
        return ""
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text
