"""Requests that are nearly right: callbacks as Desk sends them, bent in one way or in several."""

import gzip
import json
import zlib
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from gateway.front.dialects.desk import sign

APP, SIGNED_APP, TOKEN = 1400000001, 1400000003, "xxxxyyyy"
COMMANDS = (
    *["Chatbot.InterfaceInvocation"] * 6,
    "Desk.SessionEventNotify",
    "Chatbot.TaskFlowEventNotify",
    "x",
)
TEXTS = ("", "a", "客户", "\u202e", "\x00", "\ud800", "é" * 50, "x" * 3000, "1e999", "{}", "../..", "%00")
METHODS = ("POST",) * 60 + ("GET", "HEAD", "PUT", "OPTIONS", "CONNECT", "PRI", "post", "TRACE")
VERSIONS = ("HTTP/1.1",) * 60 + ("HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/x", "")


class Input(NamedTuple):
    """The pieces of bytes that a client sends, one after the other; whether it then closes its side."""

    pieces: list[bytes]
    closes: bool


def make(random: Random, now: int) -> Input:
    """Return a random input; some are signed at ``now``, in Unix seconds."""
    requests = [_request(random, now) for _ in range(random.choice((1, 1, 1, 1, 2, 3, 5)))]
    data = b"".join(requests)
    for _ in range(random.choice((0, 0, 0, 0, 0, 1, 2, 8))):
        data = random.choice(BENDS)(random, data)
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((0, 0, 1, 3, 20))))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return Input([piece for piece in pieces if piece], random.random() < 0.98)


def _request(random: Random, now: int) -> bytes:
    body = random.choice(BODIES)(random)
    headers = ["Host: x", *random.sample(HEADERS, random.choice((0, 0, 0, 0, 0, 0, 1, 3)))]
    coding = random.choice((*[""] * 24, "gzip", "deflate", "br", "gzip, gzip", "GZIP", "identity"))
    if coding:
        headers.append(f"Content-Encoding: {coding}")
        body = random.choice((_gzip, zlib.compress, bytes, _broken_gzip))(body)
    if random.random() < 0.1:
        headers.append(f"X-Long: {'y' * random.choice((100, 8000, 9000))}")
    framed = _chunked(random, body) if random.random() < 0.2 else None
    if framed is None:
        wrong = random.random() < 0.1
        length = random.choice((0, -1, len(body) + 7, len(body) // 2, 10**12, "x")) if wrong else len(body)
        headers.append(f"Content-Length: {length}")
    else:
        headers.append("Transfer-Encoding: chunked")
    first = f"{random.choice(METHODS)} {_target(random, now)} {random.choice(VERSIONS)}"
    head = "\r\n".join((first, *headers, "", ""))
    return head.encode("utf-8", "surrogatepass") + (body if framed is None else framed)


def _target(random: Random, now: int) -> str:
    path = random.choice(
        (*["/"] * 20, "/order", "/%00", "//", "/..%2f", "*", "http://x/a", "/" + "p" * 500, "")
    )
    app = random.choice((APP, APP, APP, SIGNED_APP, 7, "", "x", "\u0661"))
    query: list[tuple[str, object]] = [("SdkAppid", app)]
    query += [("CallbackCommand", random.choice(COMMANDS))] * random.choice((0, 1, 1, 2))
    if random.random() < 0.2:
        query += [
            ("Sign", random.choice(("", "a" * 64, "z"))),
            ("RequestTime", random.choice((0, "01", 10**12))),
        ]
    elif app == SIGNED_APP:
        query += [("Sign", sign(TOKEN, str(now))), ("RequestTime", now)]
    if random.random() < 0.1:
        query.append((random.choice(("a%ff", "&&", "=", "%")), random.choice(("%zz", "?", "#"))))
    return f"{path}?{'&'.join(f'{name}={value}' for name, value in query)}"


def _callback(random: Random) -> bytes:
    body: dict[str, Any] = {
        "SystemSessionID": random.choice((*TEXTS, 77, None, "s1")),
        "SystemClientUserID": random.choice((*TEXTS, 8, "user517")),
        "node": random.choice(("order", "profile", "both", "nowhere", 3, None, [])),
        "orderId": random.choice((*TEXTS, 1.5, 10**30, True, {"a": [1]})),
    }
    callback: dict[str, Any] = {
        "CallbackCommand": random.choice(COMMANDS),
        "Body": body,
        "EventTime": random.choice((1, "", [])),
    }
    if random.random() < 0.2:
        callback["Body"] = random.choice(([], "", None, 3, {"Body": body}))
    if random.random() < 0.2:
        callback |= {"Event": random.choice(TEXTS), "SessionId": random.choice(TEXTS)}
    return json.dumps(callback).encode()


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # else it holds the time, and no two are alike


def _broken_gzip(data: bytes) -> bytes:
    return _gzip(data)[:-4]


def _chunked(random: Random, body: bytes) -> bytes:
    framed = b""
    while body:
        size = random.choice((1, 7, 64, 5000))
        chunk, body = body[:size], body[size:]
        extension = random.choice((b"", b"", b";a=b", b";" + b"e" * 300))
        framed += b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk)
    return framed + random.choice(ENDS)


ENDS = (b"0\r\n\r\n",) * 8 + (b"0\r\nTrailer: a\r\n\r\n", b"g\r\n", b"", b"-1\r\n\r\n")
BODIES: tuple[Callable[[Random], bytes], ...] = (
    *(_callback,) * 8,
    lambda _: b"",
    lambda random: random.randbytes(random.choice((1, 50, 5000))),
    lambda random: b"[" * random.choice((10, 2000, 60_000)),
    lambda random: b"1" * random.choice((10, 5000)),
    lambda _: b'{"Body":{"a":1,"a":2},"Body":{}}',
    lambda _: b"\xef\xbb\xbf{}",
    lambda random: b" " * random.choice((70_000, 200_000)),
    lambda _: bytes(100_000),
)
HEADERS = (
    *("Connection: close", "Connection: keep-alive", "Expect: 100-continue", "Content-Type: text/plain"),
    *("Connection: Upgrade\r\nUpgrade: h2c", "Connection: Upgrade\r\nUpgrade: websocket", "X: \x00", "X : y"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Host: y", "Te: x", "A:", ": a"),
    *(" folded: a", "Cookie: é", "Content-Length: 3, 3", "Content-Length: 5", "Trailer: x", "X: a\rb"),
)


def _flip(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.randbytes(1) + data[at + 1 :]


def _drop(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at + random.choice((1, 2, 30)) :] or b"x"


def _insert(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + random.choice((b"\r\n", b"\n", b"\0", b"\xff", b"  ", b"POST ")) + data[at:]


def _repeat(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at : at + 40] * random.choice((2, 5)) + data[at:]


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(1, len(data) + 1)]


BENDS: tuple[Callable[[Random, bytes], bytes], ...] = (_flip, _flip, _drop, _insert, _repeat, _cut)
