"""One wish reloads the whole fleet, once."""

from gateway.fleet.reloading import NEVER, NEWS, ReloadWishes, Wish, wish_for_reload
from gateway.resilience.board import Board
from tests.clock import ManualClock


def heard() -> tuple[ReloadWishes, list[bool]]:
    """Return what hears wishes, and a list that grows with each reload."""
    reloads: list[bool] = []
    return ReloadWishes(lambda: reloads.append(True)), reloads


async def test_each_wish_is_heard_once_whatever_boards_come_and_go() -> None:
    """A reload makes a new board, which reads the wish that made it: it must not reload for ever."""
    clock = ManualClock(frozen=True)
    wishes, reloads = heard()
    board, later = Board(clock), Board(clock)
    wishes.listen(board)
    await wish_for_reload(board)
    assert len(reloads) == 1
    wishes.listen(later)
    later.entry("reload", NEVER).put(Wish(clock.now()), 1)
    assert len(reloads) == 1
    clock.move(1)
    await wish_for_reload(later)
    assert len(reloads) == 2


def test_a_process_that_starts_later_does_not_reload() -> None:
    """It has just read its file."""
    clock = ManualClock(frozen=True)
    clock.move(NEWS * 2)
    wishes, reloads = heard()
    board = Board(clock)
    wishes.listen(board)
    board.entry("reload", NEVER).put(Wish(clock.now() - NEWS), 1)
    assert reloads == []
