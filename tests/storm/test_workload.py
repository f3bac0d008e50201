"""The workload is what the document of a storm says it is."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.storm.pace import QUICK, WHOLE, Pace
from tests.storm.workload import FEWEST, MOST, Callback, workload


def sessions(callbacks: list[Callback]) -> dict[int, list[Callback]]:
    """Return the callbacks by session, in the order of their times."""
    found: dict[int, list[Callback]] = {}
    for callback in callbacks:
        found.setdefault(callback.session, []).append(callback)
    return found


paces = st.builds(
    Pace,
    sessions=st.integers(1, 30),
    length=st.floats(5, 50),
    trouble_from=st.just(1.0),
    trouble_until=st.just(4.0),
    think_least=st.floats(0, 10),
    think_more=st.floats(0.01, 10),
    kill_every=st.just(1.0),
    redis_away=st.just(1.0),
    order_fresh=st.just(1.0),
)
seeds = st.integers(0, 2**32)


@given(paces, seeds)
def test_same_seed_makes_the_same_callbacks(pace: Pace, seed: int) -> None:
    """Contestants that got different callbacks could not be compared."""
    assert workload(pace, seed) == workload(pace, seed)


@given(paces, seeds)
def test_callbacks_come_in_order_and_within_the_length(pace: Pace, seed: int) -> None:
    """The generator sends them one after the other, and a scenario has an end."""
    callbacks = workload(pace, seed)
    times = [callback.at for callback in callbacks]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= pace.length + 1e-6
    for found in sessions(callbacks).values():
        assert [callback.number for callback in found] == list(range(len(found)))


@given(paces, seeds)
def test_sessions_have_four_to_eight_callbacks_of_two_or_three_lookups(pace: Pace, seed: int) -> None:
    """That is the workload which is promised."""
    found = sessions(workload(pace, seed))
    assert len(found) == pace.sessions
    for callbacks in found.values():
        assert FEWEST <= len(callbacks) <= MOST
        assert all(len(callback.asks) in {2, 3} for callback in callbacks)
        assert len({callback.user for callback in callbacks}) == 1


@given(paces, seeds)
def test_inputs_belong_to_one_session_or_to_one_user(pace: Pace, seed: int) -> None:
    """A variable of another session could not be told from one's own, were its inputs the same."""
    owners: dict[tuple[str, str], str | int] = {}
    for callback in workload(pace, seed):
        for lookup, asked in callback.asks.items():
            owner = callback.user if asked == callback.user else callback.session
            assert owners.setdefault((lookup, asked), owner) == owner


def test_seven_of_ten_lookups_repeat_inputs() -> None:
    """Kept answers can serve those callbacks alone."""
    for pace in (WHOLE, QUICK):
        seen, lookups, repeated = set(), 0, 0
        for callback in workload(pace):
            for lookup, asked in callback.asks.items():
                lookups += 1
                repeated += (callback.session, lookup, asked) in seen
                seen.add((callback.session, lookup, asked))
        assert 0.67 < repeated / lookups < 0.73


def test_a_callback_of_the_whole_storm_comes_after_desk_has_given_up_the_last_one() -> None:
    """A conversation waits for one reply before it goes on."""
    for callbacks in sessions(workload(WHOLE)).values():
        times = [callback.at for callback in callbacks]
        assert all(later - earlier > 1.99 for earlier, later in pairwise(times))
