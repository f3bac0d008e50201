"""The table ``[backends.NAME]`` and its contradictions; the table is also its meaning."""

from collections.abc import Iterator
from typing import Literal
from urllib.parse import SplitResult

from gateway.core.charsets import find_charset
from gateway.declared.answers import AnswerTable, check_answers
from gateway.declared.breaker import Breaker, check_breaker
from gateway.declared.credentials import Auth, NoAuth, check_auth
from gateway.declared.reading import Fault, Secret, unknown
from gateway.declared.tls import BackendTls, check_proxy, check_tls
from gateway.declared.values import (
    Duration,
    PerSecond,
    Share,
    Size,
    Table,
    check_positive,
    split_url,
)

PYTHON_LANE = "python"
"""The lane of Python lookups: every other lane has the name of its backend."""

PYTHON_TIMEOUT = 10.0
"""Seconds that a Python lookup may take."""

PYTHON_CONCURRENCY = 100
"""Python lookups that a process runs at a time."""


_SHOWN_CHARSETS = (
    "UTF-8",
    "UTF-16",
    "GBK",
    "GB18030",
    "Big5",
    "Shift_JIS",
    "EUC-KR",
    "ISO-8859-1",
    "windows-1252",
)


class Backend(Table, frozen=True, kw_only=True):
    """The service behind lookups, and how gently it is asked."""

    url: str
    auth: Auth = NoAuth()
    attempt_timeout: Duration = Duration(0.8)
    attempts: int = 3
    concurrency: int = 20
    breaker: Breaker | Literal["off"] = Breaker()
    rate: PerSecond | None = None
    burst: int = 1
    retry_after_max: Duration = Duration(60)
    retry_budget: Share = Share(0.2)
    max_reply: Size = Size(1024 * 1024)
    keep_alive: Duration = Duration(15)
    idle_before_reuse: Duration = Duration(0.25)
    tls: BackendTls | None = None
    proxy: Secret | None = None
    answers: tuple[AnswerTable, ...] = ()
    charset: str | None = None


PYTHON = Backend(
    url="",
    attempts=1,
    attempt_timeout=Duration(PYTHON_TIMEOUT),
    concurrency=PYTHON_CONCURRENCY,
    breaker="off",  # there is more than one backend behind them
)
"""How Python lookups are asked: they have no table of their own."""


def check_backend(name: str, backend: Backend) -> Iterator[Fault]:
    """Yield the contradictions of the table."""
    path = f"backends.{name}"
    yield from check_positive(path, backend, ("attempt_timeout", "attempts", "concurrency", "max_reply"))
    yield from check_positive(path, backend, ("burst", "retry_after_max"))
    if backend.breaker != "off":
        yield from check_breaker(f"{path}.breaker", backend.breaker)
    if backend.burst > 1 and backend.rate is None:
        yield Fault(f"{path}.burst", "is for a `rate` alone", (f"{path}.rate",))
    url = split_url(backend.url)
    if url is None or not _can_be_called(url):
        yield Fault(f"{path}.url", "must be an http:// or https:// address with a host")
    elif url.query or url.fragment:
        yield Fault(f"{path}.url", "must have no query and no fragment: a lookup's path is added to it")
    elif url.username is not None and not isinstance(backend.auth, NoAuth):
        yield Fault(f"{path}.url", "credentials belong either in the url or in `auth`, not in both")
    yield from check_answers(f"{path}.answers", backend.answers)
    if backend.charset is not None and find_charset(backend.charset) is None:
        yield Fault(f"{path}.charset", unknown(backend.charset, "a charset that is read", _SHOWN_CHARSETS))
    yield from check_auth(f"{path}.auth", backend.auth)
    if backend.tls is not None:
        yield from check_tls(f"{path}.tls", backend.tls, backend.url)
    if backend.proxy is not None:
        yield from check_proxy(f"{path}.proxy", backend.proxy)
    if name == PYTHON_LANE:
        yield Fault(path, "the name is taken by the lane of Python lookups")


def _can_be_called(url: SplitResult) -> bool:
    """True if ``url`` names a host that HTTP can reach, on a port that exists."""
    try:
        port = url.port  # it is judged as late as here
    except ValueError:
        return False
    return port != 0 and url.scheme in {"http", "https"} and bool(url.hostname)
