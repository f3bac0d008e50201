"""The table ``[backends.NAME]`` and its contradictions; the table is also its meaning."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal
from urllib.parse import SplitResult

import msgspec

from gateway.core.charsets import find_charset
from gateway.declared.answers import AnswerTable, check_answers, check_order, compile_answers
from gateway.declared.breaker import Breaker, check_breaker
from gateway.declared.credentials import Auth, NoAuth, check_auth
from gateway.declared.reading import Fault, Secret
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
from gateway.declared.wording import unknown

PYTHON_LANE = "python"
"""The lane of Python lookups: every other lane has the name of its backend."""

PYTHON_TIMEOUT = 10.0
"""Seconds that a Python lookup may take."""

PYTHON_CONCURRENCY = 100
"""Python lookups that a process runs at a time."""


FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""A function of Python: its module and its name."""

SQL_SCHEMES = ("postgresql", "mysql", "sqlite")
"""Schemes of the addresses of databases."""

LONGEST_PAUSE = 3600
"""Seconds, the longest pause that a backend can get. A longer one would count as a clock set back."""

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

    url: str = ""
    kind: Literal["http", "python"] = "http"
    open: str | None = None
    close: str | None = None
    options: dict[str, Any] = {}
    auth: Auth = NoAuth()
    attempt_timeout: Duration = Duration(0.8)
    attempts: int = 3
    concurrency: int = 20
    breaker: Breaker | Literal["off"] = Breaker()
    rate: PerSecond | None = None
    burst: int = 1
    retry_after_max: Duration = Duration(60)
    retry_budget: Share = Share(1.0)
    max_reply: Size = Size(1024 * 1024)
    keep_alive: Duration = Duration(15)
    idle_before_reuse: Duration = Duration(0.25)
    tls: BackendTls | None = None
    proxy: Secret | None = None
    answers: tuple[AnswerTable, ...] = ()
    charset: str | None = None

    @property
    def speaks(self) -> Literal["http", "sql", "python"]:
        """How the backend is asked."""
        if self.kind == "python":
            return "python"
        return "sql" if self.url.partition(":")[0] in SQL_SCHEMES else "http"


PYTHON = Backend(
    kind="python",
    attempts=1,
    attempt_timeout=Duration(PYTHON_TIMEOUT),
    concurrency=PYTHON_CONCURRENCY,
    breaker="off",  # there is more than one backend behind them
)
"""How Python lookups are asked that name no backend, if there is no table ``[backends.python]``."""


def check_backend(name: str, backend: Backend) -> Iterator[Fault]:
    """Yield the contradictions of the table."""
    path = f"backends.{name}"
    yield from check_positive(path, backend, ("attempt_timeout", "attempts", "concurrency", "max_reply"))
    yield from check_positive(path, backend, ("burst", "retry_after_max"))
    if backend.retry_after_max > LONGEST_PAUSE:
        yield Fault(f"{path}.retry_after_max", f"must be at most {LONGEST_PAUSE:.0f} s")
    if backend.burst > 1 and backend.rate is None:
        yield Fault(f"{path}.burst", "is for a `rate` alone", (f"{path}.rate",))
    yield from _check_answers(f"{path}.answers", backend)
    if backend.breaker != "off":
        yield from check_breaker(f"{path}.breaker", backend.breaker)
        if (slow := backend.breaker.slow_call) is not None and slow >= backend.attempt_timeout:
            message = "counts nothing: attempt_timeout ends such a call earlier, and is a failure by itself"
            yield Fault(f"{path}.breaker.slow_call", message, warning=True)
    if name == PYTHON_LANE and backend.kind != "python":
        yield Fault(path, "the name is taken by the lane of Python lookups; set kind = 'python'")
    yield from {"python": _check_python, "sql": _check_sql, "http": _check_http}[backend.speaks](
        path, backend
    )


def _check_answers(path: str, backend: Backend) -> Iterator[Fault]:
    """Yield what is wrong with its rules, once for all lookups that ask it; each may declare `not_found`."""
    faults: list[Fault] = []
    rules = compile_answers(path, backend.answers, faults)
    yield from check_answers(path, backend.answers, has_status=backend.speaks == "http")
    yield from faults
    yield from check_order(rules, declares_not_found=True)


def _check_python(path: str, backend: Backend) -> Iterator[Fault]:
    """Yield what Python lookups have no use for, and hooks that name no function."""
    if backend.url:
        yield Fault(f"{path}.url", "is not for kind = 'python'", (f"{path}.kind",))
    yield from _check_unused(path, backend, ("auth", "tls", "proxy", "charset"), "is for HTTP alone")
    for name in ("open", "close"):
        if (place := getattr(backend, name)) is not None and not FUNCTION.fullmatch(place):
            yield Fault(f"{path}.{name}", "must name a function, for example 'mycrm.lookups:open_pool'")


def _check_sql(path: str, backend: Backend) -> Iterator[Fault]:
    """Yield what databases have no use for, and an address that names none; it is not shown."""
    unused = ("auth", "tls", "proxy", "charset", "open", "close", "options")
    yield from _check_unused(path, backend, unused, "is not for a database: its `url` has all of it")
    url = split_url(backend.url)
    scheme = backend.url.partition(":")[0]
    try:
        fits = url is not None and url.port != 0 and len(url.path) > 1
    except ValueError:  # the port is judged as late as there
        fits = False
    if scheme == "sqlite":
        if not backend.url.startswith("sqlite:///") or len(backend.url) == len("sqlite:///"):
            yield Fault(f"{path}.url", "write sqlite:///path/of/the/file")
    elif not fits or url is None or not (url.hostname or "host=" in url.query):
        yield Fault(f"{path}.url", f"must be {scheme}://user:password@host:port/database")


def _check_unused(path: str, backend: Backend, names: Iterable[str], message: str) -> Iterator[Fault]:
    usual = {field.name: field.default for field in msgspec.structs.fields(Backend)}
    for name in names:
        value = getattr(backend, name)
        if value and value != usual[name]:
            yield Fault(f"{path}.{name}", message)


def _check_http(path: str, backend: Backend) -> Iterator[Fault]:
    """Yield the contradictions of a backend that is asked over HTTP."""
    yield from _check_unused(path, backend, ("open", "close", "options"), "is for kind = 'python' alone")
    url = split_url(backend.url)
    if not backend.url:
        yield Fault(f"{path}.url", "missing")
    elif url is None or not _can_be_called(url):
        known = ", ".join(f"{scheme}://" for scheme in SQL_SCHEMES)
        message = f"must be an http:// or https:// address with a host, or that of a database ({known})"
        yield Fault(f"{path}.url", message)
    elif "{" in backend.url or "}" in backend.url:
        yield Fault(f"{path}.url", "has no places: write them into the `path` of its lookups")
    elif url.query or url.fragment:
        yield Fault(f"{path}.url", "must have no query and no fragment: a lookup's path is added to it")
    elif url.username is not None and not isinstance(backend.auth, NoAuth):
        yield Fault(f"{path}.url", "credentials belong either in the url or in `auth`, not in both")
    if backend.charset is not None and find_charset(backend.charset) is None:
        yield Fault(f"{path}.charset", unknown(backend.charset, "a charset that is read", _SHOWN_CHARSETS))
    yield from check_auth(f"{path}.auth", backend.auth)
    if backend.tls is not None:
        yield from check_tls(f"{path}.tls", backend.tls, backend.url)
    if backend.proxy is not None:
        yield from check_proxy(f"{path}.proxy", backend.proxy)


def _can_be_called(url: SplitResult) -> bool:
    """True if ``url`` names a host that HTTP can reach, on a port that exists."""
    try:
        port = url.port  # it is judged as late as here
    except ValueError:
        return False
    host = (url.hostname or "").removesuffix(".")
    return port != 0 and url.scheme in {"http", "https"} and all(host.split("."))
