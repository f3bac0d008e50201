"""The insides of redis-py that wire/connection.py uses: read a change of them before you trust it."""

import inspect
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import pytest
from redis._parsers.base import BaseParser
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.sentinel import SentinelManagedConnection
from redis.exceptions import ReadOnlyError

READ: dict[Callable[..., Any], str] = {
    AbstractConnection.connect: "e67285f0cae846c9",
    AbstractConnection.disconnect: "dd20b0d4c508f8ba",
    AbstractConnection.send_packed_command: "809d1d48ff318ef5",
    Connection._connect: "c6f88f68e7d0fb74",
    UnixDomainSocketConnection._connect: "71966e880555dd52",
    SentinelManagedConnection.connect: "805fcd8e90f5d99d",
    BaseParser.parse_error: "62af0149da2427bd",
}
"""The digests of the methods as they were when the wire was written around them (redis-py 5.3.1).

The first six say when ``_writer`` is there: from the end of ``connect`` to the end of ``disconnect``.
"""


@pytest.mark.parametrize("method", READ, ids=lambda method: method.__qualname__)
def test_method_is_the_one_that_was_read(method: Callable[..., Any]) -> None:
    """The wire takes over a connection's transport, and the words that the server has for errors."""
    digest = blake2b(inspect.getsource(method).encode(), digest_size=8).hexdigest()
    assert digest == READ[method], (
        f"redis-py's {method.__qualname__} has changed: read it, see if wire/connection.py still fits, "
        "note its digest"
    )


@pytest.mark.parametrize("kind", [Connection, SSLConnection, UnixDomainSocketConnection])
def test_attributes_are_where_they_were(kind: type[AbstractConnection]) -> None:
    """A renamed attribute would show itself only when a gateway has started."""
    connection = kind()
    assert connection._writer is None
    error = connection._parser.parse_error("READONLY replica")  # type: ignore[no-untyped-call]
    assert isinstance(error, ReadOnlyError)
