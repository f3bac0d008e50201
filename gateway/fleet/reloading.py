"""A wish that every process of the fleet read its configuration file anew, put on the board."""

from collections.abc import Callable

import msgspec

from gateway.resilience.board import Board

NEWS = 60.0
"""Seconds for which a wish is news. A process that starts later has read the file since."""

_NAME = "reload"


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """When it was wished last, on the board's clock; 0: never."""

    at: float = 0.0


NEVER = Wish()


async def wish_for_reload(board: Board) -> None:
    """Have every process of the fleet read its file now, this one included; raise QueueUnavailable."""
    await board.entry(_NAME, NEVER).change_for_all(lambda _, now: Wish(now))


class ReloadWishes:
    """The wishes that one process hears. It outlives its boards: a new configuration has a new one."""

    def __init__(self, reload: Callable[[], None]) -> None:
        """Take the function that begins a reload."""
        self._reload = reload
        self._heard = 0.0

    def listen(self, board: Board) -> None:
        """Hear the wishes on this board, too."""
        entry = board.entry(_NAME, NEVER)

        def hear() -> None:
            at = entry.value.at
            if at > self._heard:
                self._heard = at
                if board.now() - at < NEWS:
                    self._reload()

        entry.watch(hear)
