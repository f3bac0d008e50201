"""A storm is worth what its judge is."""

import json
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from tests.storm.judging import PATIENCE, STALE_IF_ERROR, Heard, Verdict, expected, judge
from tests.storm.workload import LOOKUPS, Callback

SEED, NOW = 7, 1_700_000_000.0
FRESH = dict.fromkeys(LOOKUPS, 60.0)

ids = st.from_regex(r"[a-z]{1,4}[0-9]{1,4}", fullmatch=True).filter(
    lambda text: not text.startswith("missing")
)
asks = st.dictionaries(st.sampled_from(LOOKUPS), ids, min_size=1)


def callback(asks: Mapping[str, str], number: int = 0, session: int = 0) -> Callback:
    """Return a callback, its time ten seconds after the last one's."""
    return Callback(session, number, 10.0 * number, "u1", asks)


def right(asks: Mapping[str, str], age: float = 0.0) -> dict[str, str]:
    """Return the variables with which the CRM answers, ``age`` seconds ago."""
    told = {f"{lookup}_as_of": str(NOW - age) for lookup in asks}
    for lookup, asked in asks.items():
        told |= expected(SEED, lookup, asked)
    return told


def reply(
    one: Callback, body: object, *, code: int = 0, took: float | None = 0.1, status: int = 200
) -> Heard:
    """Return what is heard of a callback."""
    envelope = {"ActionStatus": "FAIL" if code else "OK", "ErrorInfo": "", "ErrorCode": code, "Body": body}
    return Heard(one.session, one.number, 0.0, took, NOW, status, json.dumps(envelope))


def verdict(asks: Mapping[str, str], body: object, code: int = 0) -> Verdict:
    """Return the verdict on one reply."""
    one = callback(asks)
    return next(judge([one], [reply(one, body, code=code)], SEED, FRESH))


@given(asks)
def test_what_the_crm_knows_is_right(asks: dict[str, str]) -> None:
    """Without this, every other figure is about the judge."""
    found = verdict(asks, right(asks))
    assert (found.answered, found.right, found.good, found.foreign) == (True, True, True, False)


@given(asks, st.data())
def test_a_variable_that_is_left_out_is_missing_and_not_foreign(
    asks: dict[str, str], data: st.DataObject
) -> None:
    """The one costs the flow a branch, the other shows a customer somebody else's order."""
    told = right(asks)
    del told[data.draw(st.sampled_from(sorted(told)))]
    found = verdict(asks, told)
    assert (found.answered, found.right, found.foreign) == (True, False, False)


@given(asks, ids, st.data())
def test_another_inputs_answer_is_foreign(asks: dict[str, str], other: str, data: st.DataObject) -> None:
    """It may be anybody's, beside any other variables, and even if some values happen to be the same."""
    lookup = data.draw(st.sampled_from(sorted(asks)))
    if other == asks[lookup]:
        other += "x"
    found = verdict(asks, right(asks) | right({lookup: other}))
    assert (found.right, found.foreign) == (False, True)


@given(asks, ids)
def test_an_answer_that_nobody_asked_for_is_foreign(asks: dict[str, str], other: str) -> None:
    """It can only be another callback's."""
    for lookup in set(LOOKUPS) - set(asks):
        assert verdict(asks, right(asks) | right({lookup: other})).foreign


@given(asks, st.floats(0, 2 * STALE_IF_ERROR), st.sampled_from([0, 120001]))
def test_age_is_held_against_fresh_with_code_0_and_against_stale_if_error_without(
    asks: dict[str, str], age: float, code: int
) -> None:
    """A good answer that is older than the configuration allows is no good answer."""
    limit = STALE_IF_ERROR if code else FRESH["order"]
    found = verdict(asks, right(asks, age), code)
    assert found.right == (float(str(NOW - age)) >= NOW - limit - PATIENCE)
    assert found.good == (code == 0)


@given(asks, st.text(), st.sampled_from([200, 500]))
def test_anything_may_come_back(asks: dict[str, str], body: str, status: int) -> None:
    """Under faults, things break in ways that nobody thought of: that is counted, not raised."""
    one = callback(asks)
    found = next(judge([one], [Heard(0, 0, 0.0, 0.1, NOW, status, body)], SEED, FRESH))
    assert (found.answered, found.right, found.good) == (False, False, False)


@given(asks)
def test_what_desk_does_not_take_is_no_answer(asks: dict[str, str]) -> None:
    """Late, given up, refused, or never sent: to the flow it is all one."""
    one = callback(asks)
    told = right(asks)
    for heard in (
        [],
        [reply(one, told, took=None)],
        [reply(one, told, took=PATIENCE + 0.001)],
        [reply(one, told, status=500)],
        [reply(one, {**told, "number": 10})],
    ):
        found = next(judge([one], heard, SEED, FRESH))
        assert (found.answered, found.right) == (False, False)


@given(asks, ids)
def test_asked_before_is_answered_right_before_in_this_session(asks: dict[str, str], other: str) -> None:
    """That is where a gateway that remembers has no excuse."""
    first, again = callback(asks), callback(asks, 1)
    elsewhere, changed = callback(asks, 1, session=1), callback({**asks, "order": f"{other}-new"}, 2)
    callbacks = [first, again, elsewhere, changed]

    def known(*heard: Heard) -> list[bool]:
        return [found.asked_before for found in judge(callbacks, heard, SEED, FRESH)]

    assert known(reply(first, right(asks))) == [False, True, False, False]
    assert known(reply(first, right(asks), code=120001)) == [False, True, False, False]
    assert known(reply(first, {})) == [False, False, False, False]
    assert known(reply(elsewhere, right(asks))) == [False, False, False, False]


def test_a_reply_that_came_after_the_next_callback_was_sent_is_not_before_it() -> None:
    """Nobody can remember what is still on its way."""
    asks = {"order": "a1"}
    callbacks = [Callback(0, number, 0.05 * number, "u1", asks) for number in range(3)]
    heard = [reply(callbacks[0], right(asks), took=0.07)]
    assert [found.asked_before for found in judge(callbacks, heard, SEED, FRESH)] == [False, False, True]
