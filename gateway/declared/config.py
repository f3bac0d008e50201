"""The configuration: one TOML file for gateways and workers, read into frozen structures.

:func:`read` reports every fault at once, each with its place in the file; what the parts mean together
(a route that names no lookup, a bad expression) is told by :mod:`gateway.declared.catalog`.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from gateway.core.units import parse_duration, parse_size
from gateway.declared.reading import Fault, Secret, read_struct

CONFIG_VARIABLE = "DESKGATE_CONFIG"
LANE_VARIABLE = "DESKGATE_LANE"
REDIS_URL_VARIABLE = "DESKGATE_REDIS_URL"
"""Where ``deskgate up`` tells its children the address of the server that it brings."""

EMBEDDED = "embedded"
"""The ``redis.url`` that asks ``deskgate up`` for a server."""

_HIGHEST_PORT = 65_535


class Duration(float):
    """Seconds, written with a unit: ``"800ms"``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the duration that ``text`` says; raise ValueError when it says none."""
        return cls(parse_duration(text))


class Size(int):
    """Bytes, written with a unit: ``"64KiB"``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the size that ``text`` says; raise ValueError when it says none."""
        return cls(parse_size(text))


class Tokens(tuple[Secret, ...]):
    """The tokens of an app, newest first; written as one text or as a list of them."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return one or several tokens; raise ValueError for anything else, and for an empty one."""
        texts = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            msg = "expected a token, or a list of tokens, that are not empty"
            raise ValueError(msg)
        return cls(map(Secret, texts))


class Address(tuple[str, int]):
    """Where to listen, as (host, port); port 0 lets the kernel choose."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address that ``text`` says; raise ValueError when it says none."""
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > _HIGHEST_PORT:
            msg = f"{text!r} is not host:port; write for example '127.0.0.1:8080'"
            raise ValueError(msg)
        return cls((host.strip("[]") or "0.0.0.0", int(port)))  # noqa: S104 - ":8080" asks for every interface


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the file."""


class Tls(_Table, frozen=True, kw_only=True):
    """Certificate and key of the callback port, as PEM files."""

    cert: str
    key: str


class Gateway(_Table, frozen=True, kw_only=True):
    """How callbacks are received."""

    listen: Address = Address(("127.0.0.1", 8080))
    admin: Address = Address(("127.0.0.1", 8081))
    budget: Duration = Duration(1.6)
    max_body: Size = Size(64 * 1024)
    max_inflight: int = 1000
    local_records: int = 50_000
    local_bytes: Size = Size(64 * 1024 * 1024)
    tls: Tls | None = None


class Redis(_Table, frozen=True, kw_only=True):
    """Where jobs and records live."""

    url: Secret = Secret("redis://127.0.0.1:6379/0")
    prefix: str = "deskgate"
    timeout: Duration = Duration(0.1)


class Markers(_Table, frozen=True, kw_only=True):
    """Names of the optional extra variables that tell a flow how good a reply is."""

    status: str | None = None
    age: str | None = None
    reason: str | None = None


class App(_Table, frozen=True, kw_only=True):
    """One SdkAppid that may call."""

    token: Tokens = Tokens()
    signature: Literal["required", "optional", "off"] = "required"
    on_degraded: Literal["error", "ok"] = "error"
    markers: Markers = Markers()
    prefetch: tuple[str, ...] = ()
    forget_on: tuple[str, ...] = ()
    redis_lost: Literal["records", "direct"] = "records"


class Route(_Table, frozen=True, kw_only=True):
    """Which callbacks make which lookups."""

    lookups: tuple[str, ...]
    app: int | None = None
    path: str | None = None
    when: dict[str, str] = {}


class NoAuth(_Table, frozen=True, kw_only=True, tag_field="type", tag="none"):
    """The backend asks for no credentials."""


class BearerAuth(_Table, frozen=True, kw_only=True, tag_field="type", tag="bearer"):
    """RFC 6750: ``Authorization: Bearer TOKEN``."""

    token: Secret


class BasicAuth(_Table, frozen=True, kw_only=True, tag_field="type", tag="basic"):
    """RFC 7617: ``Authorization: Basic …``."""

    username: str
    password: Secret


class HeaderAuth(_Table, frozen=True, kw_only=True, tag_field="type", tag="header"):
    """A header of the backend's own."""

    name: str
    value: Secret


Auth = NoAuth | BearerAuth | BasicAuth | HeaderAuth


class Backend(_Table, frozen=True, kw_only=True):
    """The service behind lookups, and how gently it is asked."""

    url: str
    auth: Auth = NoAuth()
    attempt_timeout: Duration = Duration(0.8)
    attempts: int = 3
    concurrency: int = 20
    max_reply: Size = Size(1024 * 1024)


class Request(_Table, frozen=True, kw_only=True):
    """What an HTTP backend is asked, with ``{Variable}`` places."""

    path: str
    method: Literal["GET", "POST", "PUT", "PATCH"] = "GET"
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    json: Any = None


class Lookup(_Table, frozen=True, kw_only=True):
    """One question to one backend, and what its reply means."""

    variables: dict[str, str]
    backend: str | None = None
    request: Request | None = None
    python: str | None = None
    inputs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    not_found: dict[str, str] | None = None
    fresh: Duration = Duration(60)
    stale_while_revalidate: Duration = Duration(0)
    stale_if_error: Duration = Duration(86400)
    share: Literal["session", "user"] = "session"
    fallback: dict[str, str] = {}


class Config(_Table, frozen=True, kw_only=True):
    """The whole file."""

    gateway: Gateway = Gateway()
    redis: Redis = Redis()
    apps: dict[str, App] = {}
    routes: tuple[Route, ...] = ()
    backends: dict[str, Backend] = {}
    lookups: dict[str, Lookup] = {}


def read(text: str, environ: Mapping[str, str]) -> tuple[Config, list[Fault]]:
    """Return what can be read of ``text`` and every fault found; the config is whole when there is none."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is no TOMLDecodeError
        return Config(), [Fault("", f"not TOML: {error}")]
    faults: list[Fault] = []
    config = read_struct(document, Config, "", environ, faults) or Config()
    if config.redis.url == EMBEDDED and (url := environ.get(REDIS_URL_VARIABLE)):
        redis = msgspec.structs.replace(config.redis, url=Secret(url))
        config = msgspec.structs.replace(config, redis=redis)
    return config, faults


def read_file(path: Path, *, embedded: bool = False) -> tuple[Config, list[Fault]]:
    """Like :func:`read`, from a file and the process's environment.

    ``redis.url = "embedded"`` is a fault where nobody brings that server, unless ``embedded`` says that the
    caller does, or only looks.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Config(), [Fault("", f"cannot be read: {error}")]
    config, faults = read(text, os.environ)
    if config.redis.url == EMBEDDED and not embedded:
        message = '"embedded" runs under "deskgate up" alone; name a server, such as redis://127.0.0.1:6379/0'
        faults.append(Fault("redis.url", message))
    return config, faults


def environment(name: str) -> str | None:
    """Return a variable of the process's environment, None when it is absent or empty."""
    return os.environ.get(name) or None


def child_environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a child process: this process's own, and what is added to it."""
    return {**os.environ, **added}
