"""What edge/connections.py leans on inside aiohttp: a change there must be read before it is trusted."""

import inspect
from hashlib import blake2b

import pytest
from aiohttp.web_protocol import RequestHandler

READ = {
    "data_received": "c5aeb4b3c406b28a",
    "start": "a538b905660046c5",
    "shutdown": "98f50f8b4863dac2",
    "close": "9bbcebab15a95718",
    "_process_keepalive": "09c8c6acdf047701",
    "connection_lost": "cba9e7d349698569",
}
"""The digests of the methods as they were when the connection was written around them (aiohttp 3.14.5)."""


@pytest.mark.parametrize("name", READ)
def test_method_is_the_one_that_was_read(name: str) -> None:
    """A connection keeps a wake-up from its task, and the books that the task would have kept."""
    source = inspect.getsource(getattr(RequestHandler, name)).encode()
    assert blake2b(source, digest_size=8).hexdigest() == READ[name], (
        f"RequestHandler.{name} has changed: read it, see if edge/connections.py still fits, note its digest"
    )
