"""Troubles that last: told at once, again each minute, and once more when they are over."""

AGAIN_EVERY = 60.0
"""Seconds until a trouble that lasts is told again."""


class Lasting:
    """The troubles of one kind, by name. It keeps the times; its owner tells. Times are in seconds."""

    def __init__(self, every: float = AGAIN_EVERY) -> None:
        """Take the seconds until a trouble is told again."""
        self._every = every
        self._begun: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def due(self, name: str, now: float) -> float | None:
        """Note that a trouble is there; return for how long, if that is to be told now."""
        begun = self._begun.setdefault(name, now)
        if name in self._told and now - self._told[name] < self._every:
            return None
        self._told[name] = now
        return now - begun

    def over(self, name: str, now: float) -> float | None:
        """Note that a trouble is not there (any more); return for how long it was, if it was."""
        if not self._begun or name not in self._begun:
            return None
        del self._told[name]
        return now - self._begun.pop(name)
