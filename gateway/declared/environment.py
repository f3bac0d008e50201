"""The process's environment: no other file reads it."""

import os
from collections.abc import Mapping

CONFIG_VARIABLE = "DESKGATE_CONFIG"
LANE_VARIABLE = "DESKGATE_LANE"
LOG_FORMAT_VARIABLE = "DESKGATE_LOG_FORMAT"


def environment(name: str) -> str | None:
    """Return a variable of the process's environment, None if it is absent or empty."""
    return os.environ.get(name) or None


def wish_for_colors() -> bool | None:
    """Return whether output shall have colours (no-color.org, force-color.org); None if nothing is said."""
    if environment("NO_COLOR") or environment("TERM") == "dumb":
        return False
    return True if environment("FORCE_COLOR") else None


def whole_environment() -> Mapping[str, str]:
    """Return the process's environment."""
    return os.environ


def child_environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a child process: this process's own, and the variables that are added."""
    return {**os.environ, **added}
