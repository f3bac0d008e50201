"""The address of a Redis server, ``redis.url``: every way to write it, read in one place.

::

    redis://[USER:PASSWORD@]HOST[:PORT][/DB]            rediss:// with TLS
    unix://[USER:PASSWORD@]/PATH[?db=DB]
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/SERVICE[/DB]]

``rediss+sentinel://`` has TLS towards sentinels and master.

IPv6 addresses stand in brackets. User and password are percent-encoded. Options follow a ``?``.
"""

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

_FORM = re.compile(
    r"(?P<scheme>redis|rediss|unix|redis\+sentinel|rediss\+sentinel)://(?:(?P<user>[^@]*)@)?(?P<rest>[^@]*)"
)
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\[\]:,/\s]+))(?::(?P<port>\d+))?")
_PORTS = {False: 6379, True: 26379}
_HIGHEST_PORT = 65535
_HIGHEST_DB = 1_000_000
_TLS = {
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
}
_ENCODE = "percent-encode the user and the password, for example '#' as '%23' and '/' as '%2F'"

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
"""The schemes that an address may have."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis server is: one host, several sentinels of a ``service``, or the ``path`` of a socket.

    ``tls`` has the options of TLS as redis-py names them; it is None without TLS. ``str()`` and ``repr()``
    show no secret.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: dict[str, Any] | None = None

    def __str__(self) -> str:
        """Return the address without user and password, for people."""
        scheme = ("rediss" if self.tls is not None else "redis") + ("+sentinel" if self.service else "")
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        return f"{scheme}://{hosts}/{self.service + '/' if self.service else ''}{self.db}"


def read_address(text: str) -> RedisAddress:
    """Return the address that ``text`` says; raise ValueError, whose text shows no secret."""
    found = _FORM.fullmatch(text)
    if found is None:
        if not text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
            _refuse(f"must begin with one of {', '.join(f'{one}://' for one in SCHEMES)}")
        _refuse(f"has an '@' too many; {_ENCODE}")
    scheme, credentials, rest = found["scheme"], found["user"], found["rest"]
    if credentials is not None and re.search(r"[/?#\[\]\s]|%(?![0-9A-Fa-f]{2})", credentials):
        _refuse(_ENCODE)
    if "#" in rest or re.search(r"\s", rest):
        _refuse(f"has a '#' or a blank behind the host; {_ENCODE}")
    username, password = _credentials(credentials)
    place, _, query = rest.partition("?")
    options = _options(query, tls=scheme.startswith("rediss"), sentinel="sentinel" in scheme)
    common = {
        "username": options.pop("username", username),
        "password": options.pop("password", password),
        "sentinel_username": options.pop("sentinel_username", None),
        "sentinel_password": options.pop("sentinel_password", None),
    }
    db = options.pop("db", None)
    tls = options if scheme.startswith("rediss") else None
    if scheme == "unix":
        if not place.startswith("/"):
            _refuse("must name the path of a socket, such as unix:///run/redis/redis.sock")
        return RedisAddress(path=unquote(place), db=_db(db), **common)
    netloc, _, path = place.partition("/")
    parts = [part for part in path.split("/") if part]
    sentinel = "sentinel" in scheme
    if len(parts) > 1 + sentinel:
        _refuse("has too many parts behind the host: at most " + ("SERVICE/DB" if sentinel else "DB"))
    service = (unquote(parts.pop(0)) if parts else "mymaster") if sentinel else ""
    if parts and db is not None:
        _refuse("names the database twice")
    hosts = tuple(_host(one, sentinel=sentinel) for one in (netloc or "localhost").split(","))
    if len(hosts) > 1 and not sentinel:
        _refuse("names several hosts; only redis+sentinel:// can")
    return RedisAddress(hosts, service=service, db=_db(parts[0] if parts else db), tls=tls, **common)


def _refuse(why: str) -> NoReturn:
    raise ValueError(why) from None


def _credentials(text: str | None) -> tuple[str | None, str | None]:
    if text is None:
        return None, None
    username, colon, password = text.partition(":")
    return unquote(username) or None, unquote(password) if colon else None


def _host(text: str, *, sentinel: bool) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None:
        _refuse("has a host that is not HOST or HOST:PORT; an IPv6 address stands in brackets")
    port = int(found["port"]) if found["port"] is not None else _PORTS[sentinel]
    if not 0 < port <= _HIGHEST_PORT:
        _refuse(f"has a port that is not between 1 and {_HIGHEST_PORT}")
    return found["six"] or found["host"], port


def _db(text: str | None) -> int:
    if text is None:
        return 0
    if not re.fullmatch(r"\d{1,7}", text, re.ASCII) or int(text) > _HIGHEST_DB:
        _refuse("has a database that is not a number, such as /0")
    return int(text)


def _options(query: str, *, tls: bool, sentinel: bool) -> dict[str, Any]:
    known: dict[str, Any] = {"db": str, "username": str, "password": str}
    if sentinel:
        known |= {"sentinel_username": str, "sentinel_password": str}
    if tls:
        known |= _TLS
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        _refuse("has options that are not NAME=VALUE behind the '?'")
    options: dict[str, Any] = {}
    for name, value in given:
        allowed = known.get(name)
        if allowed is None:
            _refuse(f"has an option that is not known here: {name!r}; known: {', '.join(known)}")
        if isinstance(allowed, tuple) and value not in allowed:
            _refuse(f"{name} must be one of {', '.join(allowed)}")
        if name in options:
            _refuse(f"has the option {name} twice")
        options[name] = value == "true" if allowed == _TLS["ssl_check_hostname"] else value
    return options
