"""Variables are strings. Here a JSON value becomes one, on its way in and on its way out."""

import msgspec


def as_text(value: object) -> str:
    """Return ``value`` as a session variable holds it.

    Text stays as it is. Numbers, booleans, lists and objects become compact JSON: ``10``, ``true``, ``[1]``.
    Null and numbers that are not finite become ``""``. Dates and decimals become the text that JSON writes.
    In the platform's documentation, too, every value is a string: ten is ``"10"``. Raise ValueError for text
    that UTF-8 cannot hold.
    """
    if isinstance(value, str):
        if not value.isascii():
            value.encode()
        return str.__add__("", value)  # an enumeration's member, for example, becomes plain text
    if value is None:
        return ""
    text = msgspec.json.encode(value).decode()
    if text == "null":  # not a number, or infinite
        return ""
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text
