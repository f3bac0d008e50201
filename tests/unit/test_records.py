"""A record's name shows its session and its question. Its age is taken on one clock."""

import re

import pytest

from gateway.core.records import Known, record_name, session_name, session_of, user_name, user_record_name

SESSION = "207cac25-f49e-4ada-9c9f-301cea31dcf2"


def test_the_session_is_readable_in_the_name() -> None:
    """A person who looks into Redis at night searches for the session."""
    name = record_name(1400000001, SESSION, "order", "v1", {"orderId": "1"})
    assert re.fullmatch(rf"1400000001:{SESSION}:order:[0-9a-f]{{32}}", name)


def test_no_value_of_an_input_is_readable_in_the_name() -> None:
    """Names are logged; values are not."""
    name = record_name(1, SESSION, "order", "v1", {"phone": "5550123"})
    assert "5550123" not in name
    assert "phone" not in name


def test_the_name_never_changes() -> None:
    """Records outlive a release: another digest would forget every last known answer at once."""
    name = record_name(1400000001, SESSION, "order", "v1", {"orderId": "1", "user": "é"})
    assert name == f"1400000001:{SESSION}:order:9b6256c6b6f5b6edb22993c81e4d0455"
    shared = user_record_name(1400000001, "user517", "order", "v1", {"orderId": "1", "user": "é"})
    assert shared == "1400000001:user=user517:order:9b6256c6b6f5b6edb22993c81e4d0455"


def test_a_session_that_a_key_cannot_show_plainly_is_a_digest() -> None:
    """Colons, line breaks and ten thousand characters stay out of keys and of other sessions' names."""
    for session in ("a:b", "a b", "a\nb", "~x", "{x}", "*", "é", "", "x" * 65, "x" * 10_000):
        _, plain, *_ = record_name(1, session, "order", "v1", {}).split(":")
        assert re.fullmatch(r"~[0-9a-f]{32}", plain)
    for session in ("x" * 64, "a.b_c@d-e", "0"):
        assert record_name(1, session, "order", "v1", {}).split(":")[1] == session


def test_the_records_of_a_session_or_a_user_are_found_by_the_beginning_of_their_names() -> None:
    """Erasing a user's data erases by these; a session that is called like a user is left alone."""
    of_session = record_name(1, "ann", "order", "v1", {})
    of_user = user_record_name(1, "ann", "order", "v1", {})
    assert session_of(of_session) == session_name(1, "ann")
    assert session_of(of_user) == user_name(1, "ann")
    assert session_of(record_name(1, "user=ann", "order", "v1", {})) != user_name(1, "ann")


def test_an_age_is_never_negative() -> None:
    """A clock that was set back must not make a record younger than now."""
    assert Known({}, 100.0).age(90.0) == 0.0
    assert Known({}, 100.0).age(100.0) == 0.0
    assert Known({}, 100.0).age(142.5) == 42.5


@pytest.mark.parametrize("who", ["s1", "a:b", "x" * 65])
def test_records_are_found_by_whose_they_are(who: str) -> None:
    """To forget a session or a user, all names that begin so are erased: other names would be left."""
    own, shared = (name(7, who, "order", "v1", {"id": "1"}) for name in (record_name, user_record_name))
    assert (session_of(own), session_of(shared)) == (session_name(7, who), user_name(7, who))
    assert own.startswith("7:")
    assert shared.startswith("7:user=")
    assert len({session_name(7, who), user_name(7, who), session_name(8, who), user_name(8, who)}) == 4
