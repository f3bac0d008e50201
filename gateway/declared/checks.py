"""What the parts of a configuration mean together: every contradiction becomes a fault with its place."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from gateway.declared import config
from gateway.declared.reading import Fault, present, suggestion
from gateway.declared.request import CONTROL, TOKEN

_REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel")
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check(
    settings: config.Config,
    inputs: Mapping[str, frozenset[str]],
    faults: list[Fault],
    event_variables: Sequence[str] | None = None,
) -> None:
    """Add to ``faults`` all that contradicts itself; ``inputs`` are the variables that each lookup reads.

    ``event_variables`` are the variables that a session event gives: a lookup that is prefetched may read no
    other one. None leaves this unjudged.
    """
    faults += _gateway(settings.gateway)
    faults += _redis(settings.redis)
    for name, app in settings.apps.items():
        faults += _app(f"apps.{name}", name, app)
        faults += _events(f"apps.{name}", app, settings, inputs, event_variables)
    for name, backend in present(settings.backends).items():
        faults += _backend(f"backends.{name}", name, backend)
    for name, lookup in present(settings.lookups).items():
        faults += _lookup(f"lookups.{name}", lookup, settings, inputs.get(name, frozenset()))
    for number, route in enumerate(settings.routes):
        if route is not None:
            faults += _route(f"routes[{number}]", route, settings)


def _gateway(gateway: config.Gateway) -> Iterator[Fault]:
    yield from _positive(
        "gateway", gateway, ("budget", "max_body", "max_inflight", "local_records", "local_bytes")
    )
    if gateway.listen == gateway.admin and gateway.listen[1] != 0:
        yield Fault(
            "gateway.admin",
            "must differ from gateway.listen: callbacks and admin have a port each",
            ("gateway.listen",),
        )


def _redis(redis: config.Redis) -> Iterator[Fault]:
    yield from _positive("redis", redis, ("timeout",))
    url = _split(redis.url)
    if redis.url != "embedded" and (url is None or url.scheme not in _REDIS_SCHEMES):
        yield Fault("redis.url", f"must begin with one of {', '.join(f'{s}://' for s in _REDIS_SCHEMES)}")
    if not redis.prefix:
        yield Fault("redis.prefix", "must not be empty")


def _app(path: str, name: str, app: config.App | None) -> Iterator[Fault]:
    if not re.fullmatch(r"[1-9]\d{0,18}", name, re.ASCII):
        yield Fault(path, "a SdkAppid is a number, for example [apps.1400000001]")
    if app and app.signature != "off" and not app.token:
        yield Fault(f"{path}.token", "missing; without a token set signature = 'off'", (f"{path}.signature",))


def _events(
    path: str,
    app: config.App | None,
    settings: config.Config,
    inputs: Mapping[str, frozenset[str]],
    event_variables: Sequence[str] | None,
) -> Iterator[Fault]:
    """Tell what is wrong with what session events shall do."""
    for i, name in enumerate(app.prefetch if app else ()):
        if name not in settings.lookups:
            hint = suggestion(name, settings.lookups)
            yield Fault(f"{path}.prefetch[{i}]", f"{name!r} is not a lookup{hint}")
        given = event_variables if event_variables is not None else inputs.get(name, ())
        for variable in sorted(inputs.get(name, frozenset()).difference(given)):
            about = (f"lookups.{name}.inputs", f"lookups.{name}.request")
            yield Fault(
                f"{path}.prefetch[{i}]",
                f"{name!r} reads {variable!r}; a session event gives {' and '.join(given)} alone",
                about,
            )
    for i, name in enumerate(app.forget_on if app else ()):
        if not name:
            yield Fault(f"{path}.forget_on[{i}]", "an event's name must not be empty")


def _backend(path: str, name: str, backend: config.Backend) -> Iterator[Fault]:
    yield from _positive(path, backend, ("attempt_timeout", "attempts", "concurrency", "max_reply"))
    url = _split(backend.url)
    if url is None or _port(url) == 0 or url.scheme not in {"http", "https"} or not url.hostname:
        yield Fault(f"{path}.url", "must be an http:// or https:// address with a host")
    elif url.query or url.fragment:
        yield Fault(f"{path}.url", "must have no query and no fragment: a lookup's path is added to it")
    elif url.username is not None and not isinstance(backend.auth, config.NoAuth):
        yield Fault(f"{path}.url", "credentials belong either in the url or in `auth`, not in both")
    yield from _auth(f"{path}.auth", backend.auth)
    if name == "python":
        yield Fault(path, "the name is taken by the lane of Python lookups")


def _auth(path: str, auth: config.Auth) -> Iterator[Fault]:
    for name in auth.__struct_fields__:
        value = getattr(auth, name)
        if not value or CONTROL.search(value):
            yield Fault(
                f"{path}.{name}", "must not be empty, nor hold a line break or another control character"
            )
    if isinstance(auth, config.BasicAuth) and ":" in auth.username:
        yield Fault(f"{path}.username", "must hold no colon (RFC 7617)")
    if isinstance(auth, config.HeaderAuth) and not TOKEN.fullmatch(auth.name):
        yield Fault(f"{path}.name", "a header's name is letters, digits and hyphens")


def _lookup(
    path: str, lookup: config.Lookup, settings: config.Config, inputs: frozenset[str]
) -> Iterator[Fault]:
    yield from _question(path, lookup, settings)
    yield from _variables(path, lookup)
    if lookup.fresh + lookup.stale_while_revalidate > lookup.stale_if_error > 0:
        about = (f"{path}.fresh", f"{path}.stale_while_revalidate")
        yield Fault(
            f"{path}.stale_if_error", "must not be shorter than fresh + stale_while_revalidate", about
        )
    if lookup.share == "user" and lookup.stale_if_error <= 0:
        message = "'user' shares last known answers, and with stale_if_error = '0s' there are none"
        yield Fault(f"{path}.share", message, (f"{path}.stale_if_error",))
    if "" in inputs:
        yield Fault(f"{path}.inputs", "a variable's name must not be empty")


def _question(path: str, lookup: config.Lookup, settings: config.Config) -> Iterator[Fault]:
    """Tell what is wrong with whom the lookup asks."""
    if (lookup.request is None) == (lookup.python is None):
        about = (f"{path}.request", f"{path}.python")
        yield Fault(path, "needs either `request` (with `backend`) or `python`", about)
    if lookup.request is not None and lookup.backend is None and lookup.python is None:
        yield Fault(f"{path}.backend", f"missing{_known(settings.backends)}")
    if lookup.backend is not None and lookup.backend not in settings.backends:
        hint = suggestion(lookup.backend, settings.backends)
        yield Fault(f"{path}.backend", f"{lookup.backend!r} is not a backend{hint}")
    if lookup.python is not None and not _FUNCTION.fullmatch(lookup.python):
        yield Fault(f"{path}.python", "must name a function, for example 'mycrm.lookups:churn'")
    if lookup.python is not None and lookup.backend is not None:
        yield Fault(f"{path}.backend", "a Python lookup has no backend")


def _variables(path: str, lookup: config.Lookup) -> Iterator[Fault]:
    """Tell what is wrong with the variables that the lookup sets."""
    if not lookup.variables:
        yield Fault(f"{path}.variables", "must set at least one variable")
    named = [("required", name) for name in lookup.required]
    named += [(f"not_found.{name}", name) for name in lookup.not_found or {}]
    named += [(f"fallback.{name}", name) for name in lookup.fallback]
    for place, name in named:
        if name not in lookup.variables:
            hint = suggestion(name, lookup.variables)
            yield Fault(f"{path}.{place}", f"{name!r} is not in `variables`{hint}")


def _route(path: str, route: config.Route, settings: config.Config) -> Iterator[Fault]:
    if route.app is not None and str(route.app) not in settings.apps:
        yield Fault(f"{path}.app", f"{route.app} is not an app{_known(settings.apps)}")
    if route.path is not None and not route.path.startswith("/"):
        yield Fault(f"{path}.path", "must begin with '/'")
    setters: dict[str, str] = {}
    for i, name in enumerate(route.lookups):
        if name not in settings.lookups:
            hint = suggestion(name, settings.lookups)
            yield Fault(f"{path}.lookups[{i}]", f"{name!r} is not a lookup{hint}")
        if name in route.lookups[:i]:
            yield Fault(f"{path}.lookups[{i}]", f"{name!r} stands here twice")
            continue
        lookup = settings.lookups.get(name)
        for variable in lookup.variables if lookup else ():
            if variable in setters:
                other = setters[variable]
                yield Fault(
                    f"{path}.lookups[{i}]", f"{name!r} and {other!r} both set the variable {variable!r}"
                )
            setters.setdefault(variable, name)
    yield from _markers(path, route, settings, setters)


def _markers(
    path: str, route: config.Route, settings: config.Config, setters: Mapping[str, str]
) -> Iterator[Fault]:
    apps = settings.apps if route.app is None else {str(route.app): settings.apps.get(str(route.app))}
    for name, app in apps.items():
        for marker in (app.markers.status, app.markers.age, app.markers.reason) if app else ():
            if marker is not None and marker in setters:
                yield Fault(
                    f"apps.{name}.markers", f"{marker!r} is also set by {setters[marker]!r} in {path}"
                )


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address, None when it is none."""
    try:
        return None if _NOT_IN_URL.search(url) else urlsplit(url)
    except ValueError:
        return None


def _port(url: SplitResult) -> int:
    """Return the port that an address names, -1 when it names none, 0 when it is not one."""
    try:
        return -1 if url.port is None else url.port
    except ValueError:
        return 0


def _positive(path: str, table: object, names: Iterable[str]) -> Iterator[Fault]:
    for name in names:
        if getattr(table, name) <= 0:
            yield Fault(f"{path}.{name}", "must be more than zero")


def _known(names: Iterable[str]) -> str:
    known = ", ".join(names)
    return f"; known: {known}" if known else ""
