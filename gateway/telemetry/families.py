"""Every metric of the project: its name, its labels, what it says. ``tally.py`` counts.

No label has a value that a visitor chose: apps, lookups, backends and lanes are those of the configuration.
Names keep to "Metric and label naming" of Prometheus' documentation.
"""

from collections.abc import Mapping
from typing import NamedTuple

Labels = tuple[str | int, ...]
"""The values of a family's labels, in its order. A code is its number."""

# Buckets, in seconds. Desk waits for 2 s, and the usual budget is 1.6 s. An attempt may take longer. A job
# that waits longer than its callback is of use to the next one alone.
_CALLBACK = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5),
    *(0.75, 1.0, 1.25, 1.5, 1.6, 1.75, 2.0, 2.5),
)
_BACKEND = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_WAIT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 5.0, 30.0)


class Family(NamedTuple):
    """A metric: its name, what it says, its labels. A histogram has ``buckets``, in seconds."""

    name: str
    says: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Gauge(NamedTuple):
    """A metric that is looked up at a scrape: its family, and a value for each row of labels' values."""

    family: Family
    values: Mapping[Labels, float]


CALLBACKS = Family(
    "deskgate_callbacks_total", "Callbacks answered, by the code of the reply", ("app", "code")
)
CALLBACK_SECONDS = Family(
    "deskgate_callback_seconds", "Time from a callback's arrival to its reply", (), _CALLBACK
)
REFUSED = Family("deskgate_callbacks_refused_total", "Callbacks answered without a lookup", ("code",))
ANSWERS = Family(
    "deskgate_lookup_answers_total",
    "Answers of lookups in replies, by their source and code",
    ("lookup", "source", "code"),
)
LANE_WAIT = Family("deskgate_lane_wait_seconds", "Time that jobs waited for a worker", ("lane",), _WAIT)
ATTEMPTS = Family(
    "deskgate_backend_attempts_total", "Calls to a backend, by what became of them", ("backend", "outcome")
)
BACKEND_SECONDS = Family(
    "deskgate_backend_seconds", "Time that calls to a backend took", ("backend",), _BACKEND
)
LATE = Family("deskgate_late_answers_total", "Answers that came after their callback's reply", ("lookup",))
DROPPED = Family("deskgate_log_lines_dropped_total", "Lines of the log that could not be written")
HISTORY_DROPPED = Family(
    "deskgate_history_entries_dropped_total", "Entries of the history that could not be written"
)
RELOADED = Family(
    "deskgate_config_last_reload_successful", "1 if the last content of the configuration file is in use"
)
RELOADED_AT = Family(
    "deskgate_config_last_reload_success_timestamp_seconds",
    "When the configuration in use was read, in seconds since 1970",
)
CONNECTIONS = Family("deskgate_connections", "Open connections of the callback port")
REDIS_UP = Family("deskgate_redis_up", "1 if Redis can be reached")
COUNTED = (
    *(CALLBACKS, CALLBACK_SECONDS, REFUSED, ANSWERS, LANE_WAIT, ATTEMPTS, BACKEND_SECONDS, LATE),
    *(DROPPED, HISTORY_DROPPED),
)
"""What is counted, in the order in which it is shown."""

INFO = Family("deskgate_info", "Always 1: what the process runs", ("version", "config"))
LANE_JOBS = Family("deskgate_lane_jobs", "Jobs on a lane in Redis, of the whole fleet", ("lane", "state"))
WORKERS = Family("deskgate_workers", "Worker processes of a lane, of the whole fleet", ("lane",))
BREAKER = Family("deskgate_breaker_state", "1 for the state of a backend's breaker", ("backend", "state"))
PAUSED = Family("deskgate_backend_paused", "1 while a backend is left alone as it asked", ("backend",))
HELD = Family("deskgate_backend_held", "1 while an operator holds a backend: nobody asks it", ("backend",))
LOOKED_UP = (INFO, LANE_JOBS, WORKERS, BREAKER, PAUSED, HELD)
"""What is looked up at a scrape."""

SUMS, LEAST = (CONNECTIONS,), (REDIS_UP, RELOADED, RELOADED_AT)
"""What is, of each process: of several on one address, the sum is shown, or the least."""
