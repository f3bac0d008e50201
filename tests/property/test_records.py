"""Records never answer for one another, and none that is held gives way to an older one."""

from collections.abc import Callable

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.core.records import Known, Record, record_name, user_record_name
from gateway.records.memory import RecordMemory, decode_record

texts = st.text(st.sampled_from(":~aA.\0\n é{}"), max_size=4) | st.text(max_size=8)
names = st.text(st.sampled_from(":~ab"), min_size=1, max_size=3)
inputs = st.dictionaries(texts, texts, max_size=3)
questions = st.tuples(st.integers(1, 30), texts, names, texts, inputs)
of_users = st.tuples(st.integers(1, 30), texts, names, texts, inputs, texts)


@settings(deadline=None)
@given(of_users, of_users)
@example((1, "a:b", "c", "1", {}, ""), (1, "a", "b:c", "1", {}, ""))
@example((1, "a", "b", "1", {}, ""), (11, "a", "b", "1", {}, ""))
@example((1, "a", "b", "1", {"x": "y"}, ""), (1, "a", "b", "1", {"y": "x"}, ""))
@example((1, "a", "b", "1", {"x": "", "y": ""}, ""), (1, "a", "b", "1", {"x": ""}, ""))
@example((1, "a", "b", "1", {"x": "1\0y"}, ""), (1, "a", "b", "1", {"x": "1", "y": ""}, ""))
@example((1, "a", "b", "1", {}, "u"), (1, "a", "b", "1", {}, ""))
def test_two_questions_share_a_name_only_when_they_are_one(
    one: tuple[int, str, str, str, dict[str, str], str], other: tuple[int, str, str, str, dict[str, str], str]
) -> None:
    """No user must ever get another user's order."""
    assert (record_name(*one) == record_name(*other)) == (one == other)


@settings(deadline=None)
@given(texts, names)
def test_a_session_cannot_pass_for_the_digest_of_another(session: str, lookup: str) -> None:
    """Sessions come from outside; one that looks like a part of a name is digested itself."""
    name = record_name(1, session, lookup, "1", {})
    for forged in (name, name.split(":")[1], f"{session}:{lookup}", name.removeprefix("1:")):
        if forged != session:
            assert record_name(1, forged, lookup, "1", {}) != name


@settings(deadline=None)
@given(questions, questions, st.sampled_from([str, "user={}".format, "={}".format, "~{}".format]))
@example((1, "u", "b", "1", {}), (1, "u", "b", "1", {}), str)
@example((1, "user=u", "b", "1", {}), (1, "u", "b", "1", {}), str)
def test_no_session_passes_for_a_user_whatever_it_is_called(
    session: tuple[int, str, str, str, dict[str, str]],
    user: tuple[int, str, str, str, dict[str, str]],
    disguise: Callable[[str], str],
) -> None:
    """Both names come from outside: by a session's name, nobody must read a user's records."""
    name = user_record_name(*user)
    assert record_name(*session) != name
    forged = disguise(user[1])
    assert record_name(user[0], forged, *user[2:]) != name
    assert record_name(user[0], name.split(":")[1], *user[2:]) != name


@settings(deadline=None)
@given(questions, questions)
@example((1, "u", "b", "1", {"x": "1"}), (1, "u", "b", "1", {"x": "2"}))
def test_two_users_share_a_name_only_when_they_are_one_who_asks_one_thing(
    one: tuple[int, str, str, str, dict[str, str]], other: tuple[int, str, str, str, dict[str, str]]
) -> None:
    """Never across users, never across inputs."""
    assert (user_record_name(*one) == user_record_name(*other)) == (one == other)


@settings(deadline=None)
@given(inputs, st.data())
def test_the_order_of_inputs_does_not_matter(pairs: dict[str, str], data: st.DataObject) -> None:
    """The same question in another order would ask the CRM again."""
    shuffled = dict(data.draw(st.permutations(list(pairs.items()))))
    assert record_name(1, "s", "l", "1", pairs) == record_name(1, "s", "l", "1", shuffled)


@settings(deadline=None)
@given(st.binary() | st.binary().map(lambda tail: b"\x92\xcb" + tail))
def test_any_bytes_are_a_record_or_count_as_absent(data: bytes) -> None:
    """Another program may have written the key; the callback goes on without it."""
    record = decode_record(data)
    assert record is None or isinstance(record, Record)


@settings(deadline=None)
@given(st.floats(0, 1e13), st.floats(0, 1e13), st.floats(0, 1e7), st.floats(0, 1e7))
def test_a_record_from_redis_has_the_age_that_the_server_gives_it(
    written_ms: float, server_ms: float, now: float, later: float
) -> None:
    """Gateway and Redis may disagree about the time of day; only differences on one clock count."""
    sessions = RecordMemory(10)
    known = sessions.read("key", msgspec.msgpack.encode(Record(written_ms, {"v": "1"})), server_ms, now)
    if written_ms > server_ms + 1000:  # by another clock: nobody knows how old it is
        assert known is None
        return
    assert known is not None
    age = max(0.0, (server_ms - written_ms) / 1000)
    assert known.age(now) >= 0.0
    assert abs(known.age(now) - age) <= 1e-6 * max(1.0, age, now)
    assert known.age(now + later) >= known.age(now)
    assert known.age(now - later) >= 0.0


class Memory(RuleBasedStateMachine):
    """``RecordMemory`` against a plain model: the held records by key, and the order of their last use."""

    LIMIT = 3
    keys = st.sampled_from("abcde")
    births = st.integers(0, 5).map(float)

    def __init__(self) -> None:
        """Begin with both empty."""
        super().__init__()
        self.sessions = RecordMemory(self.LIMIT)
        self.model: dict[str, tuple[float, int]] = {}
        self.count = 0

    def use(self, key: str) -> None:
        """Note in the model that ``key`` was used last."""
        self.model[key] = self.model.pop(key)

    @rule(key=keys, born=births)
    def put(self, key: str, born: float) -> None:
        """A younger record stays; one as old or older gives way."""
        self.count += 1
        held = self.model.get(key)
        if held is None or held[0] <= born:
            self.model[key] = (born, self.count)
        self.use(key)
        if len(self.model) > self.LIMIT:
            self.model.pop(next(iter(self.model)))
        kept = self.sessions.put(key, Known({"n": str(self.count)}, born))
        assert kept == Known({"n": str(self.model[key][1])}, self.model[key][0])

    @rule(key=keys)
    def get(self, key: str) -> None:
        """A record that is held comes back, and counts as used."""
        held = self.model.get(key)
        known = self.sessions.get(key)
        assert known == (None if held is None else Known({"n": str(held[1])}, held[0]))
        if held is not None:
            self.use(key)

    @rule(key=keys, written=births)
    def read(self, key: str, written: float) -> None:
        """A record from Redis is a put with the server's time of birth."""
        self.count += 1
        data = msgspec.msgpack.encode(Record(written * 1000, {"n": str(self.count)}))
        held = self.model.get(key)
        known = self.sessions.read(key, data, 5000.0, 5.0)
        assert known is not None
        assert known.born >= written
        if held is None or held[0] <= written:
            self.model[key] = (written, self.count)
        self.use(key)
        if len(self.model) > self.LIMIT:
            self.model.pop(next(iter(self.model)))
        assert known.variables == {"n": str(self.model[key][1])}

    @invariant()
    def holds_no_more_than_the_limit(self) -> None:
        """Memory is bounded for any callbacks."""
        assert len(self.sessions) == len(self.model) <= self.LIMIT


Memory.TestCase.settings = settings(deadline=None, max_examples=50, stateful_step_count=30)
test_records_in_memory_are_the_youngest_and_the_last_used = Memory.TestCase
