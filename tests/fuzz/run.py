"""Inputs sent to a gateway, its answers judged, and an honest client beside them."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.desk import Desk
from tests.fuzz.generator import Input, make

AT_ONCE = 64
_PATIENCE = 10.0
_HONEST_EVERY = 0.02
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n:]+: [^\r\n]*\r\n)+)\r\n")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUSES = {200, 400, 401, 403, 405, 413}
_PAGE = 4096


class NotAnEnvelope(AssertionError):
    """A gateway has said what it must not say. ``str()`` has the number of the input, and the bytes."""


@dataclass(slots=True)
class Result:
    """What came back: answers by HTTP status, inputs without one; the honest client's times in seconds."""

    answers: Counter[int] = field(default_factory=Counter)
    silent: int = 0
    honest: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


async def fuzz(
    desk: Desk, pid: int, count: int, seed: int, note: Callable[[int], None] = lambda _: None
) -> Result:
    """Send so many inputs to the gateway of ``desk``; return what came back. Raise NotAnEnvelope."""
    result = Result()
    host, _, port = desk.url.removeprefix("http://").partition(":")
    numbers = iter(range(count))
    done = asyncio.Event()

    async def send_all() -> None:
        for number in numbers:
            made = make(Random(f"{seed}/{number}"), int(time.time()))
            said = await _send(host, int(port), made)
            _judge(number, seed, made, said, result)
            if number % 1000 == 0:
                result.memory.append(resident(pid))
                note(number)

    async def be_honest() -> None:
        while not done.is_set():
            begun = time.monotonic()
            heard = await desk.call("honest", node="order", orderId="1")
            assert heard.status == 200
            result.honest.append(time.monotonic() - begun)
            await asyncio.sleep(_HONEST_EVERY)

    async with asyncio.TaskGroup() as group:
        honest = group.create_task(be_honest())
        await asyncio.gather(*(send_all() for _ in range(AT_ONCE)))
        done.set()
        await honest
    return result


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has, on Linux."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def troubles(lines: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Return the lines of a gateway's log that tell of a bug."""
    bugs = {"callback.failed", "edge.failed", "session.failed", "library.logged", "text", "config.failed"}
    return [line for line in lines if line["event"] in bugs]


async def _send(host: str, port: int, made: Input) -> bytes:
    """Send an input over a connection of its own; return all that came back, until the gateway closed."""
    said = b""
    with suppress(ConnectionError):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            with suppress(OSError):
                for piece in made.pieces:
                    if writer.is_closing():
                        break
                    writer.write(piece)
                    await asyncio.sleep(0)
                if made.closes and not writer.is_closing():
                    writer.write_eof()
            async with asyncio.timeout(_PATIENCE):
                while data := await reader.read(1 << 16):
                    said += data
        finally:
            writer.close()
    return said


def _judge(number: int, seed: int, made: Input, said: bytes, result: Result) -> None:
    try:
        statuses = list(_answers(said, heads=b"HEAD" in b"".join(made.pieces)))
    except (ValueError, AssertionError) as error:
        msg = f"input {number} of seed {seed}: {error}: {said[:500]!r}"
        raise NotAnEnvelope(msg) from None
    result.answers.update(statuses)
    result.silent += not statuses


def _answers(said: bytes, *, heads: bool) -> Iterator[int]:
    """Yield the status of each answer; raise ValueError or AssertionError for what is no answer of ours."""
    while said:
        if said.startswith(_CONTINUE):
            said = said[len(_CONTINUE) :]
            continue
        found = _HEAD.match(said)
        assert found, "no head of a response"
        status = int(found[1])
        assert status in _STATUSES, f"status {status}"
        fields = dict(line.lower().split(b": ", 1) for line in found[2].split(b"\r\n") if line)
        length = int(fields[b"content-length"])
        body = said[found.end() : found.end() + length]
        if heads and not body.startswith(b"{"):  # an answer to HEAD has no body
            said = said[found.end() :]
        else:
            envelope = json.loads(body)
            assert {"ActionStatus", "ErrorInfo", "ErrorCode"} <= set(envelope), "no envelope"
            said = said[found.end() + length :]
        yield status
