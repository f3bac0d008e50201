"""The tables ``[gateway]`` and ``[worker]``, and their contradictions."""

from collections.abc import Iterator

from gateway.declared.admin_token import AdminTokens, check_admin_tokens
from gateway.declared.reading import Fault
from gateway.declared.values import Address, Duration, Size, Table, check_positive


class Tls(Table, frozen=True, kw_only=True):
    """Certificate and key of the callback port, as PEM files."""

    cert: str
    key: str


class Gateway(Table, frozen=True, kw_only=True):
    """How callbacks are received."""

    listen: Address = Address(("127.0.0.1", 8080))
    admin: Address = Address(("127.0.0.1", 8081))
    admin_token: AdminTokens | None = None
    budget: Duration = Duration(1.6)
    max_body: Size = Size(64 * 1024)
    max_inflight: int = 1000
    local_records: int = 50_000
    local_bytes: Size = Size(64 * 1024 * 1024)
    header_timeout: Duration = Duration(5)
    idle_timeout: Duration = Duration(75)
    max_connections: int | None = None
    drain: Duration = Duration(3)
    tls: Tls | None = None


class Worker(Table, frozen=True, kw_only=True):
    """How a worker process is watched. Without an address it has no port."""

    admin: Address | None = None


def check_gateway(gateway: Gateway) -> Iterator[Fault]:
    """Yield the contradictions of the table."""
    sizes = ("max_body", "max_inflight", "local_records", "local_bytes")
    yield from check_positive("gateway", gateway, ("budget", "header_timeout", "idle_timeout", *sizes))
    if gateway.max_connections is not None and gateway.max_connections <= 0:
        yield Fault("gateway.max_connections", "must be more than zero")
    if gateway.admin_token is not None:
        yield from check_admin_tokens(gateway.admin_token)
    if gateway.listen == gateway.admin and gateway.listen[1] != 0:
        yield Fault(
            "gateway.admin",
            "must differ from gateway.listen: callbacks and admin have a port each",
            ("gateway.listen",),
        )
