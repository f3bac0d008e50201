"""Variables are strings. Here a JSON value becomes one, on its way in and on its way out."""

import msgspec


class WrittenNumber(float):
    """A number that keeps its text: ``29.90`` compares as 29.9, and goes out as ``29.90``.

    Beyond the range of a float it compares as infinite.
    """

    __slots__ = ("written",)

    written: str


WrittenNumber.__name__ = "float"  # JMESPath's functions know a number by the name of its type


def keep_number(text: str) -> WrittenNumber:
    """Return the number that ``text`` says in JSON's words."""
    number = WrittenNumber(text)
    number.written = text
    return number


def as_text(value: object) -> str:
    """Return ``value`` as a session variable holds it.

    Text stays as it is, and a written number is its text. Other numbers, booleans, lists and objects become
    compact JSON: ``10``, ``true``, ``[1]``. Null and numbers that are not finite become ``""``. Dates and
    decimals become the text that JSON writes. In the platform's documentation, too, every value is a string:
    ten is ``"10"``. Raise ValueError for text that UTF-8 cannot hold, TypeError for values that JSON cannot
    say.
    """
    if isinstance(value, str):
        if not value.isascii():
            value.encode()
        return str.__add__("", value)  # an enumeration's member, for example, becomes plain text
    if value is None:
        return ""
    text = as_json(value)
    if text == "null":  # not a number, or infinite
        return ""
    return msgspec.json.decode(text, type=str) if text.startswith('"') else text


def as_json(value: object) -> str:
    """Return ``value`` as compact JSON, its letters not escaped. Raise as :func:`as_text` does."""
    _refuse_bytes(value)
    return _encode(value).decode()


def _refuse_bytes(value: object) -> None:
    """Raise TypeError for bytes, in lists and objects, too: msgspec writes base64, which nobody has said."""
    if isinstance(value, bytes | bytearray | memoryview):
        raise _unsayable(value)
    if isinstance(value, dict | list | tuple | set | frozenset):
        for one in value.values() if isinstance(value, dict) else value:
            _refuse_bytes(one)


def _write_number(value: object) -> msgspec.Raw:
    if isinstance(value, WrittenNumber):
        return msgspec.Raw(value.written.encode())
    raise _unsayable(value)


def _unsayable(value: object) -> TypeError:
    return TypeError(f"JSON cannot say a value of the type {type(value).__name__}")


_encode = msgspec.json.Encoder(enc_hook=_write_number).encode
