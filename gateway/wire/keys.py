"""Every Redis key and channel of the project, in one place (arq's own are in :mod:`gateway.queue.jobs`)."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import uuid4

_NUMBER = re.compile("[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Keys:
    """Names under one prefix, so that several deployments can share a server."""

    prefix: str

    def record(self, name: str) -> str:
        """Return the string key of a record (:func:`gateway.core.records.record_name`)."""
        return f"{self.prefix}:record:{name}"

    def flight(self, name: str) -> str:
        """Return the string key that holds the id of the job in flight for a record: single-flight."""
        return f"{self.prefix}:flight:{name}"

    def session(self, session: str) -> str:
        """Return the hash of a session's record keys, each with the jobs that may write it: its index.

        ``session`` is as :func:`gateway.core.records.session_of` returns it.
        """
        return f"{self.prefix}:session:{session}"

    def history(self, session: str) -> str:
        """Return the list of a session's entries in the history, newest first."""
        return f"{self.prefix}:history:{session}"

    def histories(self, _: str = "") -> str:
        """Return the sorted set of the sessions that have entries, each with the ms of its last one."""
        return f"{self.prefix}:histories"

    def series(self, slot: str) -> str:
        """Return the hash of what the whole fleet has counted in ten seconds, by name and end."""
        return f"{self.prefix}:series:{slot}"

    def void(self, session: str) -> str:
        """Return the string key with the ms at which a session was forgotten: what began before is void."""
        return f"{self.prefix}:void:{session}"

    def lane(self, lane: str) -> str:
        """Return the sorted set of a lane's jobs: arq's queue name."""
        return f"{self.prefix}:lane:{lane}"

    def free(self, lane: str) -> str:
        """Return the sorted set of a lane's workers, each by its channel, with the slots that it has free."""
        return f"{self.prefix}:free:{lane}"

    def pace(self, lane: str) -> str:
        """Return the hash of a lane's workers, each with the ms that a job takes and its jobs per second."""
        return f"{self.prefix}:pace:{lane}"

    def polled(self, lane: str) -> str:
        """Return the string key that tells that a stock arq worker polls a lane."""
        return f"{self.lane(lane)}:polled"

    def waiters(self, job_id: str) -> str:
        """Return the set of the reply channels whose gateways wait for a job."""
        return f"{self.prefix}:wait:{job_id}"

    def replies(self, gateway: str) -> str:
        """Return the channel on which one gateway process gets its answers."""
        return f"{self.prefix}:replies:{gateway}"

    def forget(self, _: str = "") -> str:
        """Return the channel of all gateways, with messages that name sessions and users to forget."""
        return f"{self.prefix}:forget"

    def forgotten(self, _: str = "") -> str:
        """Return the sorted set of the latest of these messages, each with the ms at which it was sent."""
        return f"{self.prefix}:forgotten"

    def last_forgotten(self, _: str = "") -> str:
        """Return the string key of the ms at which the last of these messages was sent. It stays."""
        return f"{self.prefix}:forgotten:last"

    def probe(self, _: str = "") -> str:
        """Return the string key that is written to see whether the server takes writes."""
        return f"{self.prefix}:probe"

    def board(self, entry: str) -> str:
        """Return the string key of an entry that all processes of the fleet know alike."""
        return f"{self.prefix}:board:{entry}"

    def fleet(self, _: str = "") -> str:
        """Return the channel of all processes, with the entries of the board that have changed."""
        return f"{self.prefix}:fleet"

    def jobs(self, worker: str) -> str:
        """Return the channel on which one worker is handed its jobs; it stands for the worker everywhere."""
        return f"{self.prefix}:jobs:{worker}"


def pattern_of(text: str) -> str:
    """Return a pattern that matches this text alone (Redis' glob)."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in text)


_PROCESS = uuid4().hex
_numbers = itertools.count(1)


def new_name(configuration: str) -> str:
    """Return a name of this process for its channel. It tells the digest of what the process runs by.

    A process that reloads gets a further one, and uses the one before for some seconds more. The number at
    its end is higher.
    """
    return f"{configuration}.{_PROCESS}-{next(_numbers)}"


def count_configurations(channels: Iterable[bytes]) -> Counter[str]:
    """Return the number of processes by the digest that each runs by; ``""`` counts those that tell none."""
    newest: dict[str, tuple[int, str]] = {}
    for channel in channels:
        configuration, _, name = channel.decode(errors="replace").rpartition(":")[2].rpartition(".")
        process, _, number = name.partition("-")
        named = (int(number) if _NUMBER.fullmatch(number) else 0, configuration)
        newest[process] = max(named, newest.get(process, named))
    return Counter(configuration for _, configuration in newest.values())
