"""The functions of expressions: JMESPath's, a few of them fit for what users read, and some of our own."""

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import reduce
from zoneinfo import ZoneInfo

from jmespath.functions import Functions, signature

from gateway.core.variables import WrittenNumber, as_text, keep_number

MAX_REPLACED = 1024 * 1024
"""Most characters of the result of ``replace``."""

_EXACT = Context(prec=400)
_ROUNDED = Context(prec=28)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")  # RFC 8259, 6
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_DIRECTIVES = frozenset("YymdHIMSpjAaBbz%")  # the same on every system
_FIRST_YEAR = 1000
"""A time before that year is no time: backends write 0001-01-01 for null."""

# From 1973 to 2286 seconds have 9 or 10 digits, milliseconds 12 or 13. Twelve digits that begin with 19 or 20
# may also be a date and a time (202411130959), and ten a date and an hour (2024111309): they are not read.
_UNIX = re.compile(
    r"(-?)(?!(?:19|20)[0-9]{10}(?:\.|$))"
    r"(?!(?:19[7-9]|20[0-9])[0-9](?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])(?:\.|$))"
    r"([0-9]{9,10}|[0-9]{12,13})(\.[0-9]+)?"
)
_DIGITS_OF_A_DATE = 8
_UNIX_MS_DIGITS = 12
_OF_DOTNET = re.compile(r"\\?/Date\((-?[0-9]{1,15})([+-][0-9]{4})?\)\\?/")
_COMPACT = re.compile(r"([0-9]{8})([0-9]{6})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ReplyFunctions(Functions):
    """JMESPath's functions and our own. Our own give null for null, and so does ``to_string``."""

    @signature({"types": []})
    def _func_to_string(self, value: object) -> str | None:
        """Write letters, not their escapes, and numbers as they were written. Nobody is called "null"."""
        return None if value is None else as_text(value)

    @signature({"types": []})
    def _func_to_number(self, value: object) -> object:
        """Read what JSON calls a number, and nothing more: no ``nan``, no ``1_000``."""
        if not isinstance(value, str):
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        found = _NUMBER.fullmatch(value.strip())
        if found is None:
            return None
        return keep_number(found[0]) if found[1] or found[2] else int(found[0])

    @signature({"types": ["array-number"]})
    def _func_sum(self, numbers: list[float]) -> float:
        """Add decimals, not their nearest binary numbers: 0.1 and 0.2 are 0.3."""
        if not any(isinstance(number, float) for number in numbers):
            return sum(numbers)
        total = reduce(_EXACT.add, (Decimal(as_text(number)) for number in numbers))
        return keep_number(str(total))

    @signature({"types": ["array-number"]})
    def _func_avg(self, numbers: list[float]) -> float | None:
        """Divide the exact sum: of 0.1, 0.2 and 0.3 the average is 0.2. One without an end is rounded."""
        if not any(isinstance(number, float) for number in numbers):
            return sum(numbers) / len(numbers) if numbers else None
        total = reduce(_EXACT.add, (Decimal(as_text(number)) for number in numbers))
        average = _ROUNDED.divide(total, len(numbers))
        if _EXACT.multiply(average, len(numbers)) != total:
            return float(average)
        return keep_number(str(average))

    @signature({"types": ["number"]})
    def _func_ceil(self, number: float) -> int:
        """Round up the number as it is written, not the nearest binary one."""
        return math.ceil(_whole_text(number))

    @signature({"types": ["number"]})
    def _func_floor(self, number: float) -> int:
        """Round down, as ceil rounds up."""
        return math.floor(_whole_text(number))

    @signature({"types": ["number"]})
    def _func_abs(self, number: float) -> float:
        """Keep the number's text."""
        if isinstance(number, WrittenNumber):
            return keep_number(number.written.removeprefix("-"))
        return abs(number)

    @signature({"types": ["string", "null"]})
    def _func_trim(self, text: str | None) -> str | None:
        return None if text is None else text.strip()

    @signature({"types": ["string", "null"]})
    def _func_lower(self, text: str | None) -> str | None:
        return None if text is None else text.lower()

    @signature({"types": ["string", "null"]})
    def _func_upper(self, text: str | None) -> str | None:
        return None if text is None else text.upper()

    @signature({"types": ["string", "null"]}, {"types": ["string"]})
    def _func_split(self, text: str | None, separator: str) -> list[str] | None:
        return None if text is None else text.split(separator)

    @signature({"types": ["string", "null"]}, {"types": ["string"]}, {"types": ["string"]})
    def _func_replace(self, text: str | None, old: str, new: str) -> str | None:
        if text is None:
            return None
        if not old:
            msg = "replace() needs a text to be replaced"
            raise ValueError(msg)
        if len(text) + text.count(old) * len(new) > MAX_REPLACED:
            msg = "the result of replace() is too long"
            raise ValueError(msg)
        return text.replace(old, new)

    @signature({"types": ["string", "number", "null"]}, {"types": ["string"], "variadic": True})
    def _func_date(self, value: str | float | None, form: str, zone: str = "") -> str | None:
        check_date_format(form)
        written = as_text(value).strip()
        if not written:
            return None
        when = _read_time(written, find_zone(zone) if zone else None)
        return _DIRECTIVE.sub(lambda match: when.strftime(match[0]), form)


def _whole_text(number: float) -> float | Decimal:
    """Return a number with all digits of its text; one that no float can be stays infinite."""
    if isinstance(number, WrittenNumber) and math.isfinite(number):
        return Decimal(number.written)
    return number


def check_date_format(form: str) -> None:
    """Raise ValueError if ``form`` has a directive that ``date`` does not know."""
    for directive in _DIRECTIVE.findall(form):
        if directive not in _DIRECTIVES:
            shown = " ".join(f"%{letter}" for letter in sorted(_DIRECTIVES, key=str.lower))
            msg = f"a date's format has no '%{directive}'; there are {shown}"
            raise ValueError(msg)


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone of a name such as ``Asia/Shanghai``; raise ValueError if there is none."""
    try:
        return ZoneInfo(name)  # which keeps the zones that it has read
    except (KeyError, ValueError, OSError):
        msg = "there is no time zone of this name; one is 'Asia/Shanghai'"
        raise ValueError(msg) from None


def _read_time(text: str, zone: ZoneInfo | None) -> datetime:
    """Return the time that ``text`` says, in ``zone``; without it in its own offset, and Unix times in UTC.

    A text without an offset says the time that clocks in ``zone`` show. Raise ValueError, or OverflowError.
    """
    if found := _UNIX.fullmatch(text):
        seconds = Decimal(found[0]) / (1000 if len(found[2]) >= _UNIX_MS_DIGITS else 1)
        when = _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
    elif found := _OF_DOTNET.fullmatch(text):
        offset = datetime.strptime(found[2], "%z").tzinfo if found[2] else UTC
        when = (_EPOCH + timedelta(milliseconds=int(found[1]))).astimezone(offset)
    elif text.isdecimal() and not _COMPACT.fullmatch(text) and len(text) != _DIGITS_OF_A_DATE:
        msg = (
            "so many digits are no time"  # fromisoformat() takes any sign between date and time, a digit, too
        )
        raise ValueError(msg)
    else:
        when = datetime.fromisoformat(_COMPACT.sub(r"\1T\2", text) if _COMPACT.fullmatch(text) else text)
        if zone is not None and when.tzinfo is None:
            when = when.replace(tzinfo=zone)
    if when.year < _FIRST_YEAR:
        msg = "the year is too early to be a date"
        raise ValueError(msg)
    return when if zone is None else when.astimezone(zone)
