"""A trouble that lasts is told at once, again after a while, and once more when it is over."""

from gateway.process.lasting import Lasting


def test_trouble_is_told_at_once_and_again_while_it_lasts() -> None:
    """Neither a line for each callback that meets it, nor silence for a night."""
    trouble = Lasting(60.0)
    told = {now: trouble.due("crm", float(now)) for now in (5, 6, 64, 65, 100, 126)}
    assert told == {5: 0.0, 6: None, 64: None, 65: 60.0, 100: None, 126: 121.0}


def test_end_is_told_once_and_a_new_trouble_begins_anew() -> None:
    """An operator wants to know that it is over."""
    trouble = Lasting(60.0)
    assert trouble.over("crm", 1.0) is None
    trouble.due("crm", 2.0)
    assert trouble.over("crm", 9.0) == 7.0
    assert trouble.over("crm", 10.0) is None
    assert trouble.due("crm", 11.0) == 0.0


def test_troubles_do_not_hide_one_another() -> None:
    """Each lane is its own."""
    trouble = Lasting(60.0)
    trouble.due("crm", 1.0)
    assert trouble.due("billing", 2.0) == 0.0
    assert trouble.over("billing", 3.0) == 1.0
    assert trouble.due("crm", 4.0) is None
