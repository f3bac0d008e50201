"""A token under any order of grants, refusals and lost processes: one grant at a time, none too early."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.core.errors import Code
from gateway.lookups.credentials.token import EARLY, FIRST_PAUSE, LONGEST_PAUSE, NONE, RENEWED_AT

LEASE = 15.0
process = st.sampled_from(["a", "b", "c"])


class Tokens(RuleBasedStateMachine):
    """The entry of the board, which three processes change."""

    def __init__(self) -> None:
        """Begin without a token."""
        super().__init__()
        self.token, self.now, self.number = NONE, 1000.0, 0
        self.under_way: dict[str, float] = {}
        self.not_before = 0.0
        self.seen: list[str] = [""]

    @rule(me=process)
    def lease(self, me: str) -> None:
        """Begin a grant, if that is allowed."""
        leased = self.token.lease(me, self.now, LEASE)
        live = [one for one, until in self.under_way.items() if self.now < until]
        if leased is None:
            due = not self.token.valid(self.now) or self.now >= self.token.renew_at
            assert live or self.now < self.not_before or not due
            return
        assert not live
        assert self.now >= self.not_before
        self.token, self.under_way = leased, {me: self.now + LEASE}

    @rule(me=process, life=st.floats(1.0, 7200.0), refresh=st.sampled_from(["", "R1"]))
    def grant(self, me: str, life: float, refresh: str) -> None:
        """End a grant with a token: of the process whose turn it is, or of one that is late."""
        self.number += 1
        granted = self.token.granted(me, f"T{self.number}", life, refresh, self.now)
        assert (granted is not None) == (self.token.granting == me)
        if granted is not None:
            assert granted.valid(self.now)
            assert granted.refresh in {refresh, self.token.refresh}
            assert granted.renew_at <= self.now + life * RENEWED_AT
            self.token = granted
            self.seen.append(granted.text)
            self.under_way.pop(me, None)
            self.not_before = 0.0

    @rule(me=process, pause=st.just(0.0) | st.floats(0.1, 100.0))
    def fail(self, me: str, pause: float) -> None:
        """End a grant without one."""
        failed = self.token.failed(me, "token: invalid_client", Code.BACKEND_DENIED, pause, self.now)
        assert (failed is not None) == (self.token.granting == me)
        if failed is not None:
            assert failed.text == self.token.text  # the old one stays
            assert FIRST_PAUSE <= failed.pause <= LONGEST_PAUSE
            assert failed.again_at >= self.now + max(failed.pause, pause)
            self.token, self.not_before = failed, failed.again_at
            self.under_way.pop(me, None)

    @rule(which=st.integers(0, 9))
    def refuse(self, which: int) -> None:
        """Let the backend refuse a token, the last one or one from before."""
        text = self.seen[-1 - which % len(self.seen)]
        old, age = self.token, self.now - self.token.granted_at
        dropped = old.dropped(text, self.now)
        if not text or text != old.text:
            assert dropped is None
        elif age < EARLY:
            assert dropped is None or dropped.text == text  # it stays
        elif age >= LONGEST_PAUSE:
            assert dropped is not None
            assert not dropped.valid(self.now)
        if dropped is not None:
            assert dropped.again_at == old.again_at
            assert EARLY <= dropped.pause <= LONGEST_PAUSE or not dropped.text
            self.token = dropped

    @rule(seconds=st.floats(0.0, 30.0))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @invariant()
    def shows_no_token(self) -> None:
        """Not in a log either."""
        assert not self.token.text or self.token.text not in repr(self.token)


TestTokens = Tokens.TestCase
TestTokens.settings = settings(max_examples=80, stateful_step_count=40)
