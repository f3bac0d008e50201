"""Building the backend of a lane: of the right kind, under its policies.

A further kind of backend is a file beside this one, and a line in :func:`open_backend`.
"""

from gateway.declared.backend import Backend as Settings
from gateway.declared.catalog import Catalog
from gateway.declared.reading import ConfigFaults, Fault
from gateway.lookups.ask import GuardedBackend
from gateway.lookups.client import Clients
from gateway.lookups.http import HttpBackend
from gateway.lookups.python import PythonBackend
from gateway.lookups.sql import SqlBackend
from gateway.process.pem import explain
from gateway.resilience.board import Board
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.stack import Runner, stack


def open_backend(catalog: Catalog, lane: str, board: Board, *, bulkhead: bool) -> GuardedBackend:
    """Return the backend of a lane under its policies; build it inside a running loop, and close it.

    ``board`` has what this process shares with the fleet. A worker needs no ``bulkhead``: it takes no more
    jobs from the lane than it has slots. Raise ImportError for a Python lookup that cannot be imported,
    and ConfigFaults for a key or a certificate that cannot be used.
    """
    settings = catalog.backend(lane)
    lookups = {name: lookup for name, lookup in catalog.lookups.items() if lookup.lane == lane}
    policies = stack(settings, board, lane, bulkhead=Bulkhead(settings.concurrency) if bulkhead else None)
    return GuardedBackend(lane, settings, lookups, open_bare(catalog, lane, board), policies)


def open_bare(catalog: Catalog, lane: str, board: Board) -> HttpBackend | PythonBackend | SqlBackend:
    """Return the backend of a lane without policies, as :func:`open_backend` does."""
    settings = catalog.backend(lane)
    if settings.speaks == "python":
        lookups = {name: lookup for name, lookup in catalog.lookups.items() if lookup.lane == lane}
        return PythonBackend(lookups, settings, lane, _clients(catalog, board))
    if settings.speaks == "sql":
        return SqlBackend(settings, lane)
    return _open_http(settings, lane, board)


def _clients(catalog: Catalog, board: Board) -> Clients:
    """Return the backends that Python lookups may ask."""
    backends = catalog.askable
    # Made at once, not with the first question: what they share with the fleet is to be known by then.
    policies = {
        name: stack(one, board, name, bulkhead=Bulkhead(one.concurrency)) for name, one in backends.items()
    }

    def open_one(name: str) -> tuple[HttpBackend, Runner]:
        return _open_http(backends[name], name, board), policies[name]

    return Clients(backends, open_one)


def _open_http(settings: Settings, lane: str, board: Board) -> HttpBackend:
    try:
        return HttpBackend(settings, lane, board)
    except OSError as error:
        raise ConfigFaults([Fault(f"backends.{lane}.tls", explain(error))]) from None
