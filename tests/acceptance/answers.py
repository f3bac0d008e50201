"""Python lookups that answer badly or not at all, and one whose answer has the size that its input says."""

import asyncio
import sys
from collections.abc import Mapping

from gateway.lookup import Ask, BackendRejected, NoAnswer


async def sized(ask: Ask) -> dict[str, str]:
    """Answer with so many bytes of text."""
    return {"text": "x" * int(ask.inputs["bytes"])}


async def bad(ask: Ask) -> Mapping[str, object]:
    """Answer with something that is no answer, of the kind that is asked for."""
    endless: list[object] = []
    endless.append(endless)
    kinds = {"surrogate": "\ud800", "endless": endless, "object": object(), "digits": 10**5000}
    return {"text": kinds[ask.inputs["kind"]]}


async def raising(ask: Ask) -> Mapping[str, object]:
    """Raise what a lookup may come to raise, of the kind that is asked for."""
    match ask.inputs["kind"]:
        case "no UTF-8":
            undecoded = "\ud800"
            raise BackendRejected(undecoded)
        case "long":
            raise BackendRejected("x" * 50_000_000)
        case "bare":
            raise NoAnswer
        case "cancelled":
            raise asyncio.CancelledError
        case "exit":
            sys.exit(1)
    raise ValueError
