"""The records in memory, while sessions and users are forgotten and memory is short."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.core.records import Known, session_name, user_name
from gateway.records.memory import RecordMemory, _size

SESSIONS = {"a": "u", "b": "u", "c": "v", "d": ""}
"""Sessions, each with its user."""

KEYS = [f"{session_name(1, session)}:{lookup}:x" for session in SESSIONS for lookup in ("order", "customer")]
KEYS += [f"{user_name(1, user)}:order:x" for user in "uv"]
NAMES = [*(session_name(1, session) for session in SESSIONS), *(user_name(1, user) for user in "uv")]


def name_of(key: str) -> str:
    """Return whose record it is."""
    return key.removesuffix(":order:x").removesuffix(":customer:x")


def user_of(key: str) -> str:
    """Return the user for whom it was asked."""
    return SESSIONS.get(name_of(key).partition(":")[2], name_of(key)[-1])


class Forgetting(RuleBasedStateMachine):
    """``RecordMemory`` against a model: the records held, last used last, and the times of forgetting."""

    LIMIT, LIMIT_BYTES = 6, 6_000

    def __init__(self) -> None:
        """Begin with nothing, at the server's first second."""
        super().__init__()
        self.sessions = RecordMemory(self.LIMIT, self.LIMIT_BYTES)
        self.model: dict[str, dict[str, str]] = {}
        self.forgotten: dict[str, float] = {}
        self.now = 1000.0

    @rule(key=st.sampled_from(KEYS), ago=st.sampled_from([0.0, 5.0, 50.0]), length=st.integers(0, 3000))
    def put(self, key: str, ago: float, length: int) -> None:
        """An answer comes to a question of some time ago; one asked before the forgetting is not kept."""
        self.now += 1.0
        variables = {"v": "x" * length}
        asked = self.now - ago
        assert self.sessions.put(key, Known(variables, self.now), asked, user_of(key)).variables == variables
        if asked <= self.forgotten.get(name_of(key), -math.inf):
            return
        self.model.pop(key, None)
        self.model[key] = variables
        while len(self.model) > self.LIMIT or self.taken > self.LIMIT_BYTES:
            self.model.pop(next(iter(self.model)))

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))
    def erase(self, names: list[str]) -> None:
        """Sessions are forgotten, and users with the sessions of theirs that are held."""
        self.now += 1.0
        users = {name for name in names if ":user=" in name}
        theirs = {name_of(key) for key in self.model if user_name(1, user_of(key)) in users}
        gone = {key for key in self.model if name_of(key) in {*names, *theirs}}
        assert self.sessions.erase(names, self.now) == len(gone)
        self.model = {key: value for key, value in self.model.items() if key not in gone}
        for name in {*names, *theirs}:
            self.forgotten[name] = self.now

    @rule()
    def erase_everybody(self) -> None:
        """Nothing is left, and nothing is counted."""
        self.erase(NAMES)
        assert (len(self.sessions), self.sessions.bytes) == (0, 0)
        assert not self.sessions._sessions

    @property
    def taken(self) -> int:
        """The bytes of the model's records."""
        return sum(_size(key, variables) for key, variables in self.model.items())

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        """To the byte, and within both bounds."""
        held = {key: dict(one.variables) for key, one in self.sessions._held.items()}
        assert list(held.items()) == list(self.model.items())
        assert self.sessions.bytes == self.taken <= self.LIMIT_BYTES
        assert len(self.sessions) <= self.LIMIT
        index = {name: set(session.records) for name, session in self.sessions._sessions.items()}
        assert index == {name_of(key): {k for k in held if name_of(k) == name_of(key)} for key in held}


Forgetting.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
test_what_is_forgotten_is_gone_and_counted = Forgetting.TestCase
