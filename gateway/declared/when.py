"""The table ``when`` of routes and lookups: conditions on variables."""

from collections.abc import Mapping


def holds(when: Mapping[str, str], variables: Mapping[str, str]) -> bool:
    """True if every condition holds: a value, ``*`` (not empty), or ``""`` (absent or empty)."""
    for name, wanted in when.items():
        value = variables.get(name, "")
        if value != wanted and not (wanted == "*" and value):
            return False
    return True
