"""The stage of ``deskgate demo``: Valkey, flaky CRM, worker and gateway, all real, all on this machine."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeVar

import aiohttp
from rich.console import Console
from rich.text import Text

from gateway.declared.catalog import Catalog, compile_catalog, read
from gateway.declared.values import Address
from gateway.process.listening import listen
from gateway.process.supervisor import SOCKETS_VARIABLE
from gateway.tools.children import Child, ChildEnded, Line, is_event, wait_for_valkey_end
from gateway.tools.processes import CannotStart, Valkey

T = TypeVar("T")

TOKEN = "xxxxyyyy"  # noqa: S105 - the platform's documentation has it as its example: it protects nothing
HOST = "127.0.0.1"
CALLBACKS, ADMIN = 8080, 8081
"""The ports that the documentation speaks of."""

_CRM_GREETING = "deskgate crm on "
_START_PATIENCE = 60.0
_LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts; ``callbacks`` is the gateway's host:port."""

    callbacks: str
    crm_url: str
    catalog: Catalog
    gateway: Child
    valkey: Valkey
    children: tuple[Child, ...]
    http: aiohttp.ClientSession

    def ends(self) -> Iterable[Awaitable[ChildEnded]]:
        """Return an awaitable for each part, which gives how that part ended."""
        return wait_for_valkey_end(self.valkey), *(child.wait_for_end() for child in self.children)

    async def play(self, script: str) -> None:
        """Let the CRM play another fault script."""
        async with self.http.put(f"{self.crm_url}/_script", data=script) as response:
            response.raise_for_status()


@asynccontextmanager
async def stage(console: Console, *, any_port: bool) -> AsyncIterator[Stage]:
    """Start all parts in order, show each, and stop them in reverse at the end of the block.

    With ``any_port`` the kernel chooses the ports. Else they are the documented ports, if these are free.
    Raise CannotStart or ChildEnded.
    """
    with Valkey() as valkey:
        _show(console, "Valkey", valkey.url)
        async with Child("CRM", "crm", "--port", "0", environ={}, listen=True) as crm:
            greeting = await _soon(console, "CRM", crm.expect(lambda line: bool(_crm_url(line))))
            crm_url = _crm_url(greeting)
            _show(console, "CRM", crm_url)
            config, environ = sample("deskgate.toml"), _environ(valkey.url, crm_url)
            wanted = (0, 0) if any_port else (CALLBACKS, ADMIN)
            async with (
                _sockets(console, *wanted) as sockets,
                _child("worker", config, environ) as worker,
                _child("gateway", config, environ, sockets) as gateway,
                aiohttp.ClientSession() as http,
            ):
                callbacks = await _both_started(console, worker, gateway, http)
                catalog = compile_catalog(*read(config.read_text(encoding="utf-8"), environ))
                yield Stage(callbacks, crm_url, catalog, gateway, valkey, (crm, worker, gateway), http)


def sample(name: str) -> Path:
    """Return a file of the samples: from the installed package, or from ``ops`` in a checkout."""
    packaged = Path(str(resources.files("gateway") / "samples" / name))
    return packaged if packaged.exists() else Path(__file__).parents[3] / "ops" / name


def _environ(redis_url: str, crm_url: str) -> dict[str, str]:
    """Return the environment variables that the sample configuration reads."""
    return {
        "DESKGATE_LISTEN": f"{HOST}:{CALLBACKS}",
        "DESKGATE_ADMIN": f"{HOST}:{ADMIN}",
        "DESKGATE_PREFIX": "demo",
        "REDIS_URL": redis_url,
        "DESK_TOKEN": TOKEN,
        "CRM_URL": crm_url,
    }


@asynccontextmanager
async def _sockets(console: Console, *ports: int) -> AsyncIterator[list[int]]:
    """Open the ports of the gateway, and hand them over: two demos that begin at once cannot collide."""
    with ExitStack() as stack:
        yield [stack.enter_context(wanted_socket(console, port)).fileno() for port in ports]


def _child(name: str, config: Path, environ: Mapping[str, str], sockets: Sequence[int] = ()) -> Child:
    if sockets:
        environ = {**environ, SOCKETS_VARIABLE: ",".join(map(str, sockets))}
    arguments = (name, "-c", str(config), "--log-format", "json")
    return Child(name, *arguments, environ=environ, listen=True, files=sockets)


def _crm_url(line: Line) -> str:
    """Return the address in the CRM's greeting, ``""`` for another line."""
    text = str(line.get("text", ""))
    return text.removeprefix(_CRM_GREETING) if text.startswith(_CRM_GREETING) else ""


def wanted_socket(console: Console, port: int) -> socket.socket:
    """Listen on ``port``, or on another one if it cannot be had."""
    try:
        return listen(Address((HOST, port)))[0]
    except OSError as error:
        reason = error.strerror.partition(" (")[0] if error.strerror else error
        said = f"Port {port} cannot be had ({reason}), so another one is used."
        console.print(Text(f"  {said}", "yellow"), soft_wrap=True)
        return listen(Address((HOST, 0)))[0]


async def _both_started(console: Console, worker: Child, gateway: Child, http: aiohttp.ClientSession) -> str:
    """Return the gateway's host:port, as soon as gateway and worker are ready."""
    working = worker.expect(is_event("worker.started"))
    listening = gateway.expect(is_event("gateway.started"))
    lanes = ", ".join((await _soon(console, "worker", working))["lanes"])
    _show(console, "worker", f"lane {lanes}")
    started = await _soon(console, "gateway", listening)
    callbacks, admin = str(started["listen"]), started["admin"]
    await _soon(console, "gateway", _ready(http, admin))
    _show(console, "gateway", f"http://{callbacks}  (console: http://{admin}/console/)")
    return callbacks


async def _ready(http: aiohttp.ClientSession, admin: str) -> None:
    """Return when a gateway says that it is ready, and not degraded."""
    while True:
        async with http.get(f"http://{admin}/ready") as response:
            if (await response.json())["status"] == "ready":
                return
        await asyncio.sleep(_LOOK_EVERY)


async def _soon(console: Console, name: str, start: Awaitable[T]) -> T:
    """Return the result of a part's ``start``; raise CannotStart if it takes too long."""
    try:
        with console.status(f"starting: {name}"):
            async with asyncio.timeout(_START_PATIENCE):
                return await start
    except TimeoutError:
        msg = f"the {name} was not ready after {_START_PATIENCE:g} s"
        raise CannotStart(msg) from None


def _show(console: Console, name: str, place: str) -> None:
    console.print(Text.assemble(("  ok  ", "green"), f"{name:<9}", (place, "dim")), soft_wrap=True)
