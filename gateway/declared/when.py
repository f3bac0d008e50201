"""The table ``when`` of routes and lookups: conditions on variables."""

from collections.abc import Mapping


def holds(when: Mapping[str, str], variables: Mapping[str, str]) -> bool:
    """True if every condition holds: a value, ``*`` (not empty), or ``""`` (absent or empty)."""
    for name, wanted in when.items():
        value = variables.get(name, "")
        if value != wanted and not (wanted == "*" and value):
            return False
    return True


def implies(when: Mapping[str, str], wider: Mapping[str, str]) -> bool:
    """True if ``wider`` holds wherever ``when`` does, as far as the texts show."""
    return all(
        name in when and (when[name] == wanted or (wanted == "*" and when[name] != ""))
        for name, wanted in wider.items()
    )
