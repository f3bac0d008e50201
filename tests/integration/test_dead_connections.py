"""Connections that die, lie about lengths, or carry long heads hit nobody but their own request."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.core.errors import BackendUnavailable, Code, NoAnswer
from gateway.lookups.rest import MOST_RESTING
from tests.asking import Asking, backend, failure
from tests.desk import when
from tests.integration.test_unasked import GET, POST, answer, turns

METHODS = pytest.mark.parametrize("lookup", [GET, POST], ids=["GET", "POST"])
Script = Callable[[int, int, str], bytes | None]
"""By connection, request on it, and name: what a server sends; None: it closes, ``b""``: it resets."""


class Scripted:
    """A server that keeps to a script, and counts."""

    def __init__(self, script: Script) -> None:
        """Take the script."""
        self.script = script
        self.url = ""
        self.asked: list[tuple[int, str]] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.end: bytes | None = b"keep"
        """Behind an answer: None closes, ``b""`` resets."""
        self.ended = asyncio.Event()
        """A client has closed its connection."""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Scripted"]:
        """Listen."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            try:
                yield self
            finally:
                for writer in self.writers:
                    writer.transport.abort()
                await turns()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection, self.connections = self.connections, self.connections + 1
        self.writers.append(writer)
        request = 0
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                _, found, rest = head.partition("Content-Length: ")
                await reader.readexactly(int(rest.split("\r\n")[0]) if found else 0)
                name = head.split()[1].removeprefix("/")
                self.asked.append((connection, name))
                sent = self.script(connection, request, name)
                request += 1
                if sent:
                    writer.write(sent)
                end = self.end if sent else sent
                if end is None:
                    writer.close()
                    return
                if not end:
                    reset = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                    writer.transport.abort()
                    return
        self.ended.set()


async def own(ask: Asking, name: str) -> None:
    """Ask for a user, who hears the own name."""
    assert await ask(id=name) == {"name": name}


ENDS = pytest.mark.parametrize("end", [None, b""], ids=["FIN", "RST"])


@METHODS
@ENDS
async def test_a_request_that_meets_a_dead_idle_connection_leaves_on_a_new_one(
    end: bytes | None, lookup: str
) -> None:
    """The backend drops each connection at its second request, without a byte: nobody notices."""
    server = Scripted(lambda _, request, name: end if request == 1 else answer(name))
    async with server.serve(), backend(server.url, lookup, "attempts = 1") as ask:
        for number in range(6):
            await own(ask, f"u{number}")
    met = [name for _, name in server.asked]
    assert met == ["u0", "u1", "u1", "u2", "u2", "u3", "u3", "u4", "u4", "u5", "u5"]
    assert server.connections == 6


@METHODS
@ENDS
async def test_a_backend_that_hangs_up_on_a_new_connection_is_asked_once(
    end: bytes | None, lookup: str
) -> None:
    """The log counts one attempt, and so does the backend: a client library must not try again by itself."""
    server = Scripted(lambda *_: end)
    async with server.serve(), backend(server.url, lookup) as ask:
        error = await failure(ask(id="u"))
    assert (type(error), len(server.asked)) == (BackendUnavailable, 1)


@METHODS
@ENDS
async def test_a_request_leaves_once_more_and_no_oftener(end: bytes | None, lookup: str) -> None:
    """The new connection is dropped as well: that is a failed attempt."""
    server = Scripted(lambda connection, request, name: end if connection + request else answer(name))
    async with server.serve(), backend(server.url, lookup) as ask:
        await own(ask, "u1")
        error = await failure(ask(id="u2"))
    assert type(error) is BackendUnavailable
    assert server.asked == [(0, "u1"), (0, "u2"), (1, "u2")]


@METHODS
async def test_a_408_on_a_connection_that_was_idle_is_no_answer(lookup: str) -> None:
    """The server's timer ran out as the request arrived. On a new connection, 408 is the backend's word."""
    goodbye = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    server = Scripted(lambda _, request, name: goodbye if request else answer(name))
    async with server.serve(), backend(server.url, lookup) as ask:
        for number in range(4):
            await own(ask, f"u{number}")
    always = Scripted(lambda *_: goodbye)
    async with always.serve(), backend(always.url, lookup) as ask:
        error = await failure(ask(id="u"))
    assert (error.code, error.transient, len(always.asked)) == (Code.BACKEND_UNAVAILABLE, True, 1)


@METHODS
async def test_half_an_answer_is_no_reason_to_ask_again(lookup: str) -> None:
    """The backend has taken the question: that is an attempt, also on a reused connection."""
    half = b"HTTP/1.1 200 OK\r\nContent-Le"
    server = Scripted(lambda _, request, name: half if request else answer(name))
    async with server.serve(), backend(server.url, lookup) as ask:
        await own(ask, "u1")
        waiting = asyncio.ensure_future(failure(ask(id="u2")))
        await when(lambda: len(server.asked) == 2)
        await turns()
        server.writers[0].close()
        error = await waiting
    assert (type(error), len(server.asked)) == (BackendUnavailable, 2)


def lying(name: str, more: bytes, header: str = "") -> bytes:
    """Return an answer with a body that is longer than it says."""
    whole = answer(name)
    return whole.replace(b"\r\n\r\n", f"{header}\r\n\r\n".encode(), 1) + more


LIES = {
    "a longer body": (b'"}', ""),
    "another answer": (answer("Somebody Else"), ""),
    "both lengths": (b"0\r\n\r\n", "\r\nTransfer-Encoding: chunked"),
    "two lengths": (b"", "\r\nContent-Length: 3"),
}


@METHODS
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("kind", LIES)
async def test_a_length_that_lies_hits_nobody_else(kind: str, later: bool, lookup: str) -> None:  # noqa: FBT001
    """The rest comes with the answer, or on the idle connection; the next user hears the own answer."""
    more, header = LIES[kind]
    server = Scripted(
        lambda _, __, name: lying(name, b"" if later else more, header) if name == "u1" else answer(name)
    )
    async with server.serve(), backend(server.url, lookup) as ask:
        with suppress(NoAnswer):
            assert await ask(id="u1") == {"name": "u1"}
        if later:
            server.writers[0].write(more)
            await turns()
        for number in range(2, 6):
            await own(ask, f"u{number}")


CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"name": "u1"}  \r\n'


@pytest.mark.parametrize(
    "spoilt",
    [
        CHUNKED + b"0\r\nX: y\r\n\r\nHTTP/1.1",
        CHUNKED + b"0\r\n\r\nrubbish",
        b"HTTP/1.1 204 No Content\r\n\r\n" + answer("Somebody Else"),
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/",
    ],
)
async def test_bytes_behind_the_end_of_an_answer_hit_nobody_else(spoilt: bytes) -> None:
    """Behind the last chunk, behind its trailers, behind an answer that has no body."""
    server = Scripted(lambda _, __, name: spoilt if name == "u1" else answer(name))
    async with server.serve(), backend(server.url, GET) as ask:
        with suppress(NoAnswer):
            assert await ask(id="u1") == {"name": "u1"}
        for number in range(2, 6):
            await own(ask, f"u{number}")


@pytest.mark.parametrize(("keep_alive", "connections"), [("15s", 1), ("0s", 4)])
async def test_connections_are_kept_as_declared(keep_alive: str, connections: int) -> None:
    """Some backends cannot keep one."""
    server = Scripted(lambda _, __, name: answer(name))
    async with server.serve(), backend(server.url, GET, f'keep_alive = "{keep_alive}"') as ask:
        for number in range(4):
            await own(ask, f"u{number}")
    assert server.connections == connections


async def test_an_idle_connection_is_used_for_its_time_alone() -> None:
    """The server's own limit is probably close behind."""
    server = Scripted(lambda _, __, name: answer(name))
    async with server.serve(), backend(server.url, GET, 'keep_alive = "10ms"') as ask:
        await own(ask, "u1")
        await server.ended.wait()
        await own(ask, "u2")
    assert server.connections == 2


def headed(*headers: str, status: str = "200 OK") -> Script:
    """Return a script that answers with these headers as well."""
    more = "".join(f"\r\n{header}" for header in headers).encode()
    return lambda _, __, name: answer(name, status).replace(b"\r\n\r\n", more + b"\r\n\r\n", 1)


POLICY = f"Content-Security-Policy: {'x' * 9_000}"


@pytest.mark.parametrize(
    "headers",
    [[POLICY], [f"X: {'x' * 65_000}"], [f"X-{number}: 1" for number in range(200)], [POLICY] * 40],
    ids=["a policy", "64 KiB", "many", "many and long"],
)
async def test_long_heads_are_read(headers: list[str]) -> None:
    """A security policy of 9,000 bytes is nothing unusual."""
    server = Scripted(headed(*headers))
    async with server.serve(), backend(server.url, GET) as ask:
        await own(ask, "u1")
        await own(ask, "u2")
    assert server.connections == 1


async def test_a_503_with_a_long_header_is_a_503() -> None:
    """And it is asked for again."""
    server = Scripted(headed(POLICY, status="503 Service Unavailable"))
    async with server.serve(), backend(server.url, GET) as ask:
        error = await failure(ask(id="u"))
    assert (error.code, error.transient) == (Code.BACKEND_UNAVAILABLE, True)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([f"X: {'x' * 10_000_000}"], "a header is too long"),
        ([f"X-{number}: 1" for number in range(300)], "too many headers"),
        ([f"X-{number}: {'x' * 60_000}" for number in range(100)], "the headers are too long"),
    ],
    ids=["one", "many", "much"],
)
async def test_a_head_without_end_is_named_as_such(headers: list[str], reason: str) -> None:
    """It is cut off early, and the reason says what to look at."""
    server = Scripted(headed(*headers))
    async with server.serve(), backend(server.url, GET) as ask:
        error = await failure(ask(id="u"))
    assert (error.code, error.transient) == (Code.BAD_BACKEND_REPLY, False)
    assert str(error).startswith(reason)


async def test_a_backend_that_speaks_out_of_turn_is_told_once_and_gets_new_connections() -> None:
    """Bytes that cross a request on the wire look like its answer, so no connection is used twice now."""
    server = Scripted(lambda _, __, name: answer(name))
    async with server.serve(), backend(server.url, GET) as ask:
        await own(ask, "u1")
        with capture_logs() as lines:
            for number in range(3):
                server.writers[-1].write(answer("Somebody Else"))
                await turns()
                await own(ask, f"v{number}")
    assert [(line["event"], line["log_level"]) for line in lines] == [("backend.unasked", "warning")]
    assert server.connections == 4


RESTING = 'idle_before_reuse = "{}"'


@METHODS
async def test_an_answer_too_many_is_not_heard_by_the_next_request(lookup: str) -> None:
    """It comes while the next user waits for theirs; that one waits on another connection."""
    server = Scripted(lambda _, __, name: answer(name))
    async with server.serve(), backend(server.url, lookup, RESTING.format("250ms")) as ask:
        await own(ask, "u1")
        server.script = lambda _, __, ___: b"HTTP/1.1 "  # the beginning of an answer
        waiting = asyncio.ensure_future(ask(id="u2"))
        await when(lambda: len(server.asked) == 2)
        server.writers[0].write(answer("Somebody Else"))
        await turns()
        server.writers[-1].write(answer("u2").removeprefix(b"HTTP/1.1 "))
        assert await waiting == {"name": "u2"}
    assert server.connections == 2


async def test_a_connection_is_used_again_when_it_has_rested() -> None:
    """After its time, or when too many others rest."""
    server = Scripted(lambda _, __, name: answer(name))
    async with server.serve(), backend(server.url, GET, RESTING.format("1ms")) as ask:
        for number in range(1000):
            await own(ask, f"u{number}")
    assert server.connections < 1000
    server = Scripted(lambda _, __, name: answer(name))
    async with server.serve(), backend(server.url, GET, RESTING.format("1h")) as ask:
        for number in range(MOST_RESTING + 50):
            await own(ask, f"u{number}")
    assert server.connections == MOST_RESTING + 1


async def test_resting_connections_are_closed_with_their_backend() -> None:
    """None outlives its process's backend."""
    server = Scripted(lambda _, __, name: answer(name))
    async with server.serve():
        async with backend(server.url, GET, RESTING.format("1h")) as ask:
            await own(ask, "u1")
            await own(ask, "u2")
        await server.ended.wait()
    assert server.connections == 2


SENT: dict[str, Callable[[str], bytes | None]] = {
    "an answer": answer,
    "an answer, and another": lambda name: answer(name) + answer("Somebody Else"),
    "an answer, and half of another": lambda name: answer(name) + answer("Somebody Else")[:30],
    "half a head": lambda name: answer(name)[:25],
    "half a body": lambda name: answer(name)[:-3],
    "a longer body": lambda name: answer(name) + b'"}',
    "no content": lambda _: b"HTTP/1.1 204 No Content\r\n\r\n" + answer("Somebody Else"),
    "a goodbye": lambda _: b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    "the end": lambda _: None,
    "a reset": lambda _: b"",
}
ENDINGS: list[bytes | None] = [b"keep", None, b""]
BEHAVIOUR = st.tuples(st.sampled_from(sorted(SENT)), st.sampled_from(ENDINGS), st.booleans(), st.booleans())
"""What a server sends, how it ends then, whether bytes come later, and whether two users ask at once."""


def test_no_behaviour_of_a_server_gives_one_user_the_answer_of_another() -> None:
    """Half replies, closes, resets and unasked bytes: each user hears the own name, or that there is none."""

    async def play(steps: list[tuple[str, bytes | None, bool, bool]], rest: str) -> None:
        step = iter(steps)
        current = next(step, None)

        def script(_: int, __: int, name: str) -> bytes | None:
            return answer(name) if current is None else SENT[current[0]](name)

        server = Scripted(script)
        declared = f'attempt_timeout = "1s"\nidle_before_reuse = "{rest}"'
        async with server.serve(), backend(server.url, GET, declared) as ask:
            number = 0
            while True:
                server.end = b"keep" if current is None else current[1]
                names = [f"u{number + one}" for one in range(2 if current and current[3] else 1)]
                number += len(names)
                asked = [asyncio.ensure_future(ask(id=name)) for name in names]
                _, silent = await asyncio.wait(asked, timeout=0.02)
                for one in silent:  # the server has sent half an answer, and says no more
                    one.cancel()
                heard = await asyncio.gather(*asked, return_exceptions=True)
                for name, got in zip(names, heard, strict=True):
                    assert got == {"name": name} or isinstance(got, NoAnswer | asyncio.CancelledError)
                if current is None:
                    return
                if current[2] and not server.writers[-1].transport.is_closing():
                    server.writers[-1].write(answer("Somebody Else"))
                    await turns()
                current = next(step, None)

    with asyncio.Runner() as runner:

        @settings(max_examples=60)
        @given(st.lists(BEHAVIOUR, max_size=5), st.sampled_from(["0s", "5ms"]))
        def check(steps: list[tuple[str, bytes | None, bool, bool]], rest: str) -> None:
            runner.run(play(steps, rest))

        check()
