"""No caller gets an answer that was sent unasked, at any time and in any form."""

import asyncio
import json
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp.connector import Connection
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.core.errors import BackendUnavailable, NoAnswer
from gateway.lookups.connector import Body, SilentConnector, send
from gateway.lookups.ear import UnaskedBytes
from gateway.lookups.failures import failure_of
from tests.asking import Asking, backend, failure, sending
from tests.tls import self_signed

GET = 'request = { path = "/{id}" }\nvariables = { name = "name" }\n'
POST = (
    'request = { path = "/{id}", method = "POST", json = { id = "{id}" } }\nvariables = { name = "name" }\n'
)
LOOPS = pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
METHODS = pytest.mark.parametrize("lookup", [GET, POST], ids=["GET", "POST"])
EXPECT = 'headers = { Expect = "100-continue" }, path'
EXPECTING = [lookup.replace("path", EXPECT, 1) for lookup in (GET, POST)]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


def answer(name: str, status: str = "200 OK") -> bytes:
    """Return a whole response."""
    body = json.dumps({"name": name}).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


ELSE = answer("Somebody Else")
TIMEOUT_408 = b"HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\n"
UNASKED = {
    "a whole answer": ELSE,
    "two answers": ELSE + ELSE,
    "a 408": TIMEOUT_408,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a name": b"HTTP/1.1 200 OK\r\nX-",
    "half a body": ELSE[:-4],
    "one letter": b"H",
    "a body": b'{"name": "Somebody Else"}',
    "a chunk": b'19\r\n{"name": "Somebody Else"}\r\n',
    "an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "an empty line": b"\r\n",
}


class Raw:
    """A server that answers each request with its path as the name, and sends other bytes on demand."""

    def __init__(self) -> None:
        """Begin with no connection."""
        self.url = ""
        self.asked: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.connected = asyncio.Event()
        self.with_next = b""
        """Sent in one packet with the next answer."""
        self.instead: bytes | None = None
        """Sent in place of the next answer."""

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Raw"]:
        """Listen."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=tls)
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.url = f"https://{host}" if tls else f"http://{host}"
        async with server:
            try:
                yield self
            finally:
                for writer in self.writers:
                    writer.transport.abort()
                await turns()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connected.set()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                _, found, rest = head.partition("Content-Length: ")
                if "Expect: 100-continue" in head:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await reader.readexactly(int(rest.split("\r\n")[0]) if found else 0)
                name = head.split()[1].removeprefix("/")
                self.asked.append(name)
                whole = (answer(name) if self.instead is None else self.instead) + self.with_next
                self.with_next, self.instead = b"", None
                writer.write(whole)

    def send(self, data: bytes, writer: asyncio.StreamWriter | None = None) -> None:
        """Send bytes unasked, on the newest connection or this one: now, not at the turn's end."""
        with self._socket(writer) as direct:
            direct.sendall(data)

    def hang_up(self) -> None:
        """End the newest connection in order, this moment."""
        with self._socket() as direct:
            direct.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the newest connection, at the end of the loop's turn."""
        with self._socket() as direct:
            direct.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writers[-1].transport.abort()

    def _socket(self, writer: asyncio.StreamWriter | None = None) -> socket.socket:
        plain = (writer or self.writers[-1]).get_extra_info("socket")
        return socket.socket(fileno=socket.dup(plain.fileno()))


async def turns() -> None:
    """Let the loop read what has come."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(new_loop: NewLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run a test on one kind of loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main)


async def hear_their_own(ask: Asking, *names: str) -> None:
    """Ask for one user after another."""
    for name in names:
        assert await ask(id=name) == {"name": name}


@LOOPS
@METHODS
def test_no_user_hears_an_answer_that_was_sent_unasked(lookup: str, new_loop: NewLoop) -> None:
    """One answer too many on an idle connection made each later user hear the one before, for ever."""

    async def main() -> None:
        async with Raw().serve() as raw, backend(raw.url, lookup) as ask:
            await hear_their_own(ask, "u1")
            raw.send(ELSE)
            await turns()
            await hear_their_own(ask, *(f"u{number}" for number in range(2, 61)))
            assert raw.asked == [f"u{number}" for number in range(1, 61)]
            assert len(raw.writers) == 60  # nobody knows what else comes: each gets a connection of its own

    run(new_loop, main())


@LOOPS
@pytest.mark.parametrize("lookup", EXPECTING, ids=["GET", "POST"])
def test_a_request_that_asks_to_go_on_is_answered_and_hears_no_unasked_answer(
    lookup: str, new_loop: NewLoop
) -> None:
    """A backend says 100 Continue between the head and the body, which is not unasked."""

    async def main() -> None:
        async with Raw().serve() as raw, backend(raw.url, lookup) as ask:
            await hear_their_own(ask, "u1", "u2")
            raw.send(ELSE)
            await hear_their_own(ask, "u3", "u4")
            assert raw.asked == ["u1", "u2", "u3", "u4"]

    run(new_loop, main())


@LOOPS
@METHODS
@pytest.mark.parametrize("read", [True, False], ids=["read", "not read yet"])
@pytest.mark.parametrize("kind", UNASKED)
def test_a_connection_with_unasked_bytes_is_not_used_again(
    kind: str,
    read: bool,  # noqa: FBT001
    lookup: str,
    new_loop: NewLoop,
) -> None:
    """Whether the loop has read the bytes, or they still wait in the kernel."""

    async def main() -> None:
        async with Raw().serve() as raw, backend(raw.url, lookup) as ask:
            await hear_their_own(ask, "u1")
            raw.send(UNASKED[kind])
            if read:
                await turns()
            await hear_their_own(ask, "u2", "u3", "u4")
            assert raw.asked == ["u1", "u2", "u3", "u4"]
            assert len(raw.writers) == (2 if kind == "a 408" else 4)  # a 408 is how servers leave

    run(new_loop, main())


@LOOPS
@METHODS
@pytest.mark.parametrize("kind", UNASKED)
def test_bytes_in_one_packet_with_an_answer_reach_nobody_else(
    kind: str, lookup: str, new_loop: NewLoop
) -> None:
    """The user in whose packet they come hears the own answer, or that the backend speaks no HTTP."""

    async def main() -> None:
        async with Raw().serve() as raw, backend(raw.url, lookup) as ask:
            raw.with_next = UNASKED[kind]
            try:
                await hear_their_own(ask, "u1")
            except NoAnswer:
                assert kind in {"a body", "a chunk"}
            await hear_their_own(ask, "u2", "u3", "u4")
            assert raw.asked == ["u1", "u2", "u3", "u4"]
            # an empty line is no part of an answer (RFC 9112, 2.2): the parser has passed over it
            # if the parser has read a whole answer too many, aiohttp closes the connection, and tells nobody
            assert len(raw.writers) in ({1} if kind == "an empty line" else {2, 4})

    run(new_loop, main())


@LOOPS
@METHODS
def test_the_two_halves_of_an_unasked_answer_reach_nobody(lookup: str, new_loop: NewLoop) -> None:
    """The first half came with an answer, the second one is still in the kernel when the next user asks."""

    async def main() -> None:
        async with Raw().serve() as raw, backend(raw.url, lookup) as ask:
            raw.with_next = ELSE[:9]
            await hear_their_own(ask, "u1")
            raw.send(ELSE[9:])
            await hear_their_own(ask, "u2", "u3")

    run(new_loop, main())


@LOOPS
@METHODS
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("together", [True, False], ids=["one packet", "later"])
@pytest.mark.parametrize("body", [ELSE, b'{"name": "Somebody Else"}', b"HTTP/1.1 2"])
def test_a_body_behind_an_answer_that_has_none_reaches_nobody(
    body: bytes,
    together: bool,  # noqa: FBT001
    status: str,
    lookup: str,
    new_loop: NewLoop,
) -> None:
    """A proxy that forgets that these have no body must not be trusted further."""

    async def main() -> None:
        async with Raw().serve() as raw, backend(raw.url, lookup) as ask:
            raw.instead = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            raw.with_next = body if together else b""
            await failure(ask(id="u1"))
            if not together:
                raw.send(body)
            await hear_their_own(ask, "u2", "u3")

    run(new_loop, main())


@LOOPS
@METHODS
@pytest.mark.parametrize("read", [True, False], ids=["read", "not read yet"])
@pytest.mark.parametrize("end", [Raw.hang_up, Raw.reset])
def test_a_connection_that_has_ended_is_not_used_again(
    end: Callable[[Raw], None],
    read: bool,  # noqa: FBT001
    lookup: str,
    new_loop: NewLoop,
) -> None:
    """A POST that breaks is not sent twice, so it must not leave on a connection that is known to be dead."""

    async def main() -> None:
        async with Raw().serve() as raw, backend(raw.url, lookup) as ask:
            await hear_their_own(ask, "u1")
            end(raw)
            for _ in range(10 if read else 1):
                await asyncio.sleep(0)
            await hear_their_own(ask, "u2", "u3")
            assert raw.asked == ["u1", "u2", "u3"]

    run(new_loop, main())


@LOOPS
@METHODS
def test_a_backend_that_hangs_up_at_once_is_unavailable(lookup: str, new_loop: NewLoop) -> None:
    """It is there, and takes nobody."""

    async def main() -> None:
        async with sending(b"") as url, backend(url, lookup) as ask:
            assert type(await failure(ask(id="u1"))) is BackendUnavailable

    run(new_loop, main())


class Connected(aiohttp.TCPConnector):
    """Has something happen when a connection was made."""

    def __init__(self, happen: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Await ``happen`` each time."""
        super().__init__()
        self._happen = happen

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:  # noqa: ANN401
        """Connect, and have it happen."""
        connection = await super().connect(*args, **kwargs)
        await self._happen()
        return connection


class Before(SilentConnector, Connected):
    """Has something happen before the look."""


class After(SilentConnector):
    """Has something happen after the look, before a body is written."""

    def __init__(self, happen: Callable[[int], None]) -> None:
        """Call ``happen`` with the number of the request, the connection for it being ``taken``."""
        super().__init__()
        self.taken: asyncio.Transport
        self._happen = happen
        self._requests = 0

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:  # noqa: ANN401
        """Connect, and have it happen."""
        connection = await super().connect(*args, **kwargs)
        assert connection.transport is not None
        self.taken = connection.transport
        self._requests += 1
        self._happen(self._requests)
        return connection


def session(connector: SilentConnector) -> aiohttp.ClientSession:
    """Return a session as an HTTP backend makes it."""
    return aiohttp.ClientSession(connector=connector, middlewares=(send,))


async def post(http: aiohttp.ClientSession, url: str, name: str) -> object:
    """Post for a user; return whose name comes back."""
    async with http.post(f"{url}/{name}", data=Body(b"{}")) as response:
        return (await response.json(content_type=None))["name"]


@LOOPS
@pytest.mark.parametrize("kind", UNASKED)
def test_a_body_is_held_back_when_bytes_come_between_the_look_and_its_writing(
    kind: str, new_loop: NewLoop
) -> None:
    """It goes out once, on a new connection: the backend counts what the log counts."""

    async def main() -> None:
        def happen(request: int) -> None:
            if request == 3:
                raw.send(UNASKED[kind])

        async with Raw().serve() as raw, session(After(happen)) as http:
            for number in range(1, 6):
                assert await post(http, raw.url, f"u{number}") == f"u{number}"
            assert raw.asked == ["u1", "u2", "u3", "u4", "u5"]
            assert len(raw.writers) == (2 if kind == "a 408" else 4)

    run(new_loop, main())


@LOOPS
def test_a_body_is_held_back_when_the_end_comes_between_the_look_and_its_writing(new_loop: NewLoop) -> None:
    """As with bytes: nothing was written yet."""

    async def main() -> None:
        def happen(request: int) -> None:
            if request == 2:
                raw.hang_up()

        async with Raw().serve() as raw, session(After(happen)) as http:
            for number in range(1, 4):
                assert await post(http, raw.url, f"u{number}") == f"u{number}"
            assert raw.asked == ["u1", "u2", "u3"]

    run(new_loop, main())


@LOOPS
def test_a_body_is_held_back_once_only(new_loop: NewLoop) -> None:
    """When the new connection is not silent either, the backend is unavailable."""

    async def main() -> None:
        def happen(request: int) -> None:
            if request >= 2:
                raw.send(ELSE)

        async with Raw().serve() as raw, session(After(happen)) as http:
            assert await post(http, raw.url, "u1") == "u1"
            with pytest.raises(aiohttp.ClientConnectionError):
                await post(http, raw.url, "u2")
            assert raw.asked == ["u1"]
            assert len(raw.writers) == 2

    run(new_loop, main())


@LOOPS
def test_a_body_that_was_held_back_leaves_on_a_new_connection(new_loop: NewLoop) -> None:
    """The others of the pool may break the silence in the same moment: a body is held back once only."""

    async def main() -> None:
        def happen(request: int) -> None:
            if request > 5:
                taken = after.taken.get_extra_info("sockname")
                for writer in raw.writers[:5]:
                    if writer.get_extra_info("peername") == taken:
                        raw.send(ELSE, writer)

        after = After(happen)
        async with Raw().serve() as raw, session(after) as http:
            names = [f"u{number}" for number in range(1, 6)]
            assert await asyncio.gather(*(post(http, raw.url, name) for name in names)) == names
            assert await post(http, raw.url, "u6") == "u6"
            assert len(raw.writers) == 6

    run(new_loop, main())


@LOOPS
@pytest.mark.parametrize("read", [True, False], ids=["read", "not read yet"])
@pytest.mark.parametrize("greeting", [ELSE, b"SSH-2.0-OpenSSH_9.6\r\n", b"H"])
def test_a_new_connection_on_which_the_server_speaks_first_is_not_trusted(
    greeting: bytes,
    read: bool,  # noqa: FBT001
    new_loop: NewLoop,
) -> None:
    """It was not asked: its words are no answer. This is a backend that is unavailable."""

    async def main() -> None:
        async def happen() -> None:
            await raw.connected.wait()
            raw.send(greeting)
            if read:
                await turns()

        async with Raw().serve() as raw, session(Before(happen=happen)) as http:
            with pytest.raises(UnaskedBytes) as caught:
                await http.get(raw.url)
            assert type(failure_of(caught.value)) is BackendUnavailable
            assert raw.asked == []

    run(new_loop, main())


@LOOPS
@pytest.mark.parametrize("read", [True, False], ids=["read", "not read yet"])
def test_over_tls_nobody_hears_an_answer_that_was_sent_unasked(
    read: bool,  # noqa: FBT001
    new_loop: NewLoop,
    tmp_path: Path,
) -> None:
    """Session tickets come unasked, too: they are no reason to give a connection up."""

    async def main() -> None:
        cert, key = await self_signed(tmp_path)
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(cert, key)
        connector = SilentConnector(ssl=ssl.create_default_context(cafile=str(cert)))
        async with Raw().serve(server) as raw, session(connector) as http:
            for number in range(1, 10):
                assert await post(http, raw.url, f"u{number}") == f"u{number}"
            assert len(raw.writers) == 1
            raw.writers[0].write(ELSE)
            if read:
                await turns()
            for number in range(10, 20):
                assert await post(http, raw.url, f"u{number}") == f"u{number}"
            assert len(raw.asked) == 19
            assert len(raw.writers) == 11

    run(new_loop, main())


@LOOPS
def test_a_request_without_a_body_is_written_in_the_turn_of_the_look(new_loop: NewLoop) -> None:
    """This is why it needs no second look: the loop reads nothing between the two."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        looked, arrived = asyncio.Event(), False

        def look() -> None:
            nonlocal arrived
            arrived = bool(select.select([server], [], [], 0)[0])
            looked.set()

        async def get() -> None:
            async with http.get(f"http://127.0.0.1:{listener.getsockname()[1]}/") as response:
                await response.read()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            async with session(SilentConnector()) as http, asyncio.TaskGroup() as asking:
                asking.create_task(get())
                server, _ = await loop.sock_accept(listener)
                with server:
                    await loop.sock_recv(server, 1000)
                    await loop.sock_sendall(server, answer("u"))
                    await turns()
                    asking.create_task(get())
                    loop.call_soon(look)  # in the same turn, right behind
                    await looked.wait()
                    await loop.sock_sendall(server, answer("u"))
                    await turns()
        assert arrived

    run(new_loop, main())


async def test_rest_of_an_error_page_is_not_unasked() -> None:
    """Its status has said enough, so nobody waits for it. The backend is in trouble, and not a liar."""
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4000\r\n\r\n" + b"x" * 1000)
        await writer.drain()
        await left.wait()
        with suppress(ConnectionError):
            writer.write(b"x" * 3000)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        with capture_logs() as lines:
            async with backend(url, GET, 'idle_before_reuse = "200ms"') as ask:
                assert "500" in str(await failure(ask(id="1")))
                left.set()
                await asyncio.sleep(0.3)
    assert [line for line in lines if line["event"] == "backend.unasked"] == []


PIECES = st.one_of(
    st.sampled_from([*UNASKED.values(), answer("u1"), answer("u2", "404 Not Found")]),
    st.builds(lambda whole, cut: whole[:cut], st.sampled_from([ELSE, TIMEOUT_408]), st.integers(1, 60)),
    st.builds(lambda whole, cut: whole[cut:], st.sampled_from([ELSE, TIMEOUT_408]), st.integers(1, 60)),
    st.binary(min_size=1, max_size=20),
)
STEPS = st.tuples(
    st.booleans(),  # a POST
    st.just(b"") | PIECES,  # in one packet with the answer
    st.lists(st.tuples(PIECES, st.booleans()), max_size=3),  # later; and whether the loop reads it at once
)


@LOOPS
def test_no_schedule_of_unasked_bytes_gives_one_user_the_answer_of_another(new_loop: NewLoop) -> None:
    """All that comes before a request is written is no answer to it."""

    async def play(steps: list[tuple[bool, bytes, list[tuple[bytes, bool]]]]) -> None:
        async with (
            Raw().serve() as raw,
            backend(raw.url, GET + '[lookups.post]\nbackend = "crm"\n' + POST) as ask,
        ):
            for number, (is_post, with_answer, later) in enumerate(
                [*steps, (False, b"", []), (True, b"", [])]
            ):
                raw.with_next = with_answer
                try:
                    assert await ask("post" if is_post else "order", id=f"own {number}") == {
                        "name": f"own%20{number}"
                    }
                except NoAnswer:  # its own packet was spoilt
                    assert with_answer
                for unasked, read in later:
                    with suppress(OSError):  # it may be closed by now
                        raw.send(unasked)
                    if read:
                        await turns()

    with asyncio.Runner(loop_factory=new_loop) as runner:

        @given(st.lists(STEPS, max_size=5))
        @example([(False, b"", [(ELSE, True)])])
        @example([(True, b"", [(ELSE, False)])])
        @example([(False, ELSE[:9], [(ELSE[9:], False)])])
        def check(steps: list[tuple[bool, bytes, list[tuple[bytes, bool]]]]) -> None:
            runner.run(play(steps))

        check()
