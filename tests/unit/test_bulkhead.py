"""So many calls at one time, and one more is refused at once."""

from contextlib import ExitStack

import pytest

from gateway.core.errors import Overloaded
from gateway.resilience.bulkhead import Bulkhead


@pytest.mark.parametrize("size", [1, 2, 20])
def test_as_many_calls_as_there_is_room_for_and_no_more(size: int) -> None:
    """A backend that is slow is not helped by a crowd."""
    bulkhead = Bulkhead(size)
    with ExitStack() as inside:
        for _ in range(size):
            inside.enter_context(bulkhead)
        with pytest.raises(Overloaded, match=f"{size} calls"), bulkhead:
            pass


def test_refused_call_takes_no_place() -> None:
    """Else each refusal would leave less room than there was."""
    bulkhead = Bulkhead(1)
    with bulkhead:
        for _ in range(3):
            with pytest.raises(Overloaded), bulkhead:
                pass
    with bulkhead:
        pass


def test_call_that_fails_gives_its_place_back() -> None:
    """Else a backend's bad hour would end with no room at all."""
    bulkhead = Bulkhead(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="503"), bulkhead:
            raise ValueError("503")  # noqa: EM101 - the message of a backend
    with bulkhead:
        pass


def test_place_that_is_left_is_one_place() -> None:
    """Else the cap would rise with every call."""
    bulkhead = Bulkhead(2)
    with bulkhead:
        with bulkhead:
            pass
        with bulkhead, pytest.raises(Overloaded), bulkhead:
            pass
