"""Durations and sizes as people write them in a configuration: ``800ms``, ``1.6s``, ``64KiB``."""

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "kB": 1000, "MB": 1000**2}
_QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?([A-Za-z]+)", re.ASCII)


def _parse(text: str, factors: dict[str, float] | dict[str, int], example: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in factors:
        units = ", ".join(factors)
        msg = f"{text!r} is not a number with a unit ({units}); write for example {example!r}"
        raise ValueError(msg)
    return float(match[1]) * factors[match[2]]


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` says; raise ValueError if it is not a duration."""
    return _parse(text, _SECONDS, "800ms")


def parse_size(text: str) -> int:
    """Return the bytes that ``text`` says; raise ValueError if it is not a size."""
    return int(_parse(text, _BYTES, "64KiB"))


def brief_duration(seconds: float) -> str:
    """Return ``seconds`` as a person would write them: ``42 s``, ``5 min``, ``3 h``."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds / size)} {unit}"
    return f"{int(seconds)} s"
