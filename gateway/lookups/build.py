"""Building the backend of a lane: which kind it is, and under which policies it is asked.

A further kind of backend is a file beside this one, and a line in :func:`open_backend`.
"""

from gateway.declared.backend import PYTHON_LANE
from gateway.declared.catalog import Catalog
from gateway.declared.lookup import PYTHON_LATE
from gateway.lookups.ask import GuardedBackend
from gateway.lookups.http import HttpBackend
from gateway.lookups.python import PythonBackend
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.stack import stack

PYTHON_CONCURRENCY = 100
"""Python lookups that a process runs at a time."""


def open_backend(catalog: Catalog, lane: str, *, bulkhead: bool) -> GuardedBackend:
    """Return the backend of a lane under its policies; build it inside a running loop, and close it.

    A process that takes its jobs from the lane needs no ``bulkhead``: it takes no more than it has slots for.
    Raise ImportError for a Python lookup that is not there.
    """
    lookups = {name: lookup for name, lookup in catalog.lookups.items() if lookup.lane == lane}
    declared = None if lane == PYTHON_LANE else catalog.settings.backends[lane]
    concurrency = PYTHON_CONCURRENCY if declared is None else declared.concurrency
    overrun = PYTHON_LATE if declared is None else declared.attempt_timeout
    policies = stack(
        attempts=1 if declared is None else declared.attempts,
        attempt_timeout=overrun,
        bulkhead=Bulkhead(concurrency) if bulkhead else None,
    )
    backend = PythonBackend(lookups) if declared is None else HttpBackend(declared)
    return GuardedBackend(lane, lookups, backend, policies, concurrency=concurrency, overrun=overrun)
