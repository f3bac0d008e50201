"""``deskgate call``: plays Desk. It sends one callback, as the platform documents it, and shows the reply."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import click
import msgspec
from rich.text import Text
from yarl import URL

from gateway.core.errors import DeskgateError
from gateway.front.dialects.desk import INTERFACE_INVOCATION, sign
from gateway.telemetry.terminal import printable
from gateway.tools.presentation import code_text, meaning, open_console, table, time_text

PATIENCE = 2.0
"""Seconds after which Desk gives up, and this command too."""

_LONGEST_REPLY = 1 << 20
_SHOWN = 80


class CallFailed(DeskgateError):
    """No well-formed reply came. ``str()`` gives advice."""


@dataclass(frozen=True, slots=True)
class OutgoingCallback:
    """A callback to send: its address, its app, its session and its variables.

    It is signed if there is a ``token``.
    """

    url: str
    app: int
    token: str | None
    session: str
    user: str
    variables: Mapping[str, str]

    def address(self, now: float) -> URL:
        """Return the address, with Desk's query added to its own. ``now`` is Unix time. Raise CallFailed."""
        url = _parse_address(self.url)
        query = [*url.query.items(), *self._query(now).items()]
        return url.with_query(query).with_fragment(None)

    def body(self, now: float) -> bytes:
        """Return the JSON to POST; ``now`` is Unix time."""
        system = {"SystemClientUserID": self.user, "SystemSessionID": self.session}
        return msgspec.json.encode(
            {
                "CallbackCommand": INTERFACE_INVOCATION,
                "Body": {**system, **self.variables},
                "EventTime": int(now * 1000),
            }
        )

    def _query(self, now: float) -> dict[str, str]:
        query = {
            "SdkAppid": str(self.app),
            "CallbackCommand": INTERFACE_INVOCATION,
            "contenttype": "json",
            "ClientIP": "127.0.0.1",
            "OptPlatform": "Web",
        }
        if self.token:
            seconds = str(int(now))
            query |= {"RequestTime": seconds, "Sign": sign(self.token, seconds)}
        return query


class Envelope(msgspec.Struct, frozen=True):
    """A reply as Desk reads it. Other fields are ignored."""

    ActionStatus: str
    ErrorInfo: str
    ErrorCode: int
    Body: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class ReceivedReply:
    """A reply that has come: decoded and raw, with its HTTP status and the seconds that it took."""

    envelope: Envelope
    raw: bytes
    status: int
    took: float

    @property
    def code(self) -> int:
        """Its code, 0 for success."""
        return self.envelope.ErrorCode

    @property
    def info(self) -> str:
        """Its one line for people."""
        return self.envelope.ErrorInfo

    @property
    def variables(self) -> Mapping[str, str]:
        """Its variables for the session."""
        return self.envelope.Body


async def send(callback: OutgoingCallback, patience: float = PATIENCE) -> ReceivedReply:
    """Send a callback and return its reply; raise CallFailed, after ``patience`` seconds at the latest."""
    now = time.time()
    try:
        url, body = callback.address(now), callback.body(now)
    except UnicodeError:
        msg = "the callback cannot be sent: its texts are not UTF-8"
        raise CallFailed(msg) from None
    begun = time.monotonic()
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patience)) as http,
            http.post(
                url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as response,
        ):
            raw = await _read(response)
    except UnicodeError:  # two points in a row, or over 63 characters between two
        msg = f"{url.host} cannot be the name of a host: correct the URL"
        raise CallFailed(msg) from None
    except (aiohttp.ClientError, OSError) as error:
        msg = _advice(error, f"{url.host}:{url.port}", patience)
        raise CallFailed(msg) from None
    took = time.monotonic() - begun
    return ReceivedReply(_decode(raw, response.status), raw, response.status, took)


def print_reply(reply: ReceivedReply, *, as_json: bool) -> None:
    """Show a reply on standard output, or print its bytes as they came."""
    if as_json:
        click.echo(reply.raw)
        return
    console = open_console()
    console.print(Text.assemble(code_text(reply.code), "   ", meaning(reply.code)))
    if reply.info:
        console.print(Text(printable(reply.info)))
    http = "" if reply.status == HTTPStatus.OK else f"   HTTP {reply.status}: a failed callback to Desk"
    console.print(Text.assemble(time_text(reply.took, PATIENCE), http))
    if reply.variables:
        variables = table("variable", "value")
        for name, value in reply.variables.items():
            variables.add_row(Text(printable(name)), Text(printable(value)))
        console.print()
        console.print(variables)


def _parse_address(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        shown = text.rpartition("@")[2]  # what stands before it may be a password
        msg = f"{shown!r} is not an address; write for example http://127.0.0.1:8080/"
        raise CallFailed(msg)
    return url


async def _read(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > _LONGEST_REPLY:
            msg = f"the reply is over {_LONGEST_REPLY} bytes: a gateway's callback port never sends that much"
            raise CallFailed(msg)
    return bytes(raw)


def _decode(raw: bytes, status: int) -> Envelope:
    try:
        return msgspec.json.decode(raw, type=Envelope)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        shown = raw[:_SHOWN].decode(errors="replace")
        msg = (
            f"HTTP {status} and no reply that Desk could read ({printable(str(error))}), but {shown!r}: "
            "call a gateway's callback port, not its admin port or another server"
        )
        raise CallFailed(msg) from None


def _advice(error: Exception, place: str, patience: float) -> str:
    """Return why no reply came from ``place``, with advice."""
    match error:
        case TimeoutError():
            return (
                f"no reply within {patience:g} s, so Desk has given up: "
                f"is {place} a gateway, and its budget below {PATIENCE:g} s?"
            )
        case aiohttp.ClientSSLError():
            return f"TLS with {place} failed ({error}): Desk, too, wants a certificate of a public CA"
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno or 0
            reason = (
                os.strerror(number) if number > 0 else error.os_error.strerror
            )  # below zero: no such name
            return f"no connection to {place} ({reason}): start a gateway there, or correct the URL"
        case _:
            return f"{place} broke off before its reply was whole ({type(error).__name__}): see its log"
