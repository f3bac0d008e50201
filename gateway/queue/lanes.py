"""What a gateway tells of its lanes: full, too slow, or without a worker."""

from gateway.process.lasting import Lasting
from gateway.queue.jobs import State
from gateway.telemetry import events

FULL_EVERY = 10.0
"""Least seconds between two log lines about one lane that is full, or too slow."""


class LaneWatch:
    """Looks at the states of lookups that are begun, and tells an operator what is worth it."""

    def __init__(self) -> None:
        """Begin without a trouble."""
        self._full, self._slow = Lasting(FULL_EVERY), Lasting(FULL_EVERY)
        self._deserted = Lasting()

    def note(self, lane: str, state: State, depth: int | None, now: float) -> None:
        """Note the state of a lookup that was begun at ``now``; ``depth`` is that of a full lane."""
        if depth is not None:
            if self._full.due(lane, now) is not None:
                events.lane_full(lane=lane, depth=depth)
        elif state is State.SHED:
            if self._slow.due(lane, now) is not None:
                events.lane_slow(lane=lane)
        elif state is State.UNATTENDED:
            if (seconds := self._deserted.due(lane, now)) is not None:
                events.lane_unattended(lane=lane, seconds=seconds)
        elif state in _TAKEN and (seconds := self._deserted.over(lane, now)) is not None:
            events.lane_attended(lane=lane, seconds=seconds)


_TAKEN = {State.BEGUN, State.JOINED}
