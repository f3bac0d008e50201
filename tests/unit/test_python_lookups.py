"""Python lookups: a function of the user's own fails as a backend does, and ends when it is told to."""

import asyncio
from collections.abc import Awaitable, Callable

import jmespath
import pytest

from gateway.core.errors import LookupFailed, NoAnswer, Overloaded
from gateway.declared.lookup import Lookup
from gateway.lookup import Ask
from gateway.lookups.python import PythonBackend
from gateway.lookups.reply import Finding

ASK = Ask("churn", {}, 1, "s1", "t1", 1.0)
started = asyncio.Event()


async def hang(_: Ask) -> dict[str, object]:
    """Say that it runs, and never end."""
    started.set()
    await asyncio.Event().wait()
    return {}


async def fail(_: Ask) -> dict[str, object]:
    """Raise an error with a user's data in it."""
    raise ValueError("5550123")  # noqa: EM101 - as users write it


async def cancel(_: Ask) -> dict[str, object]:
    """Raise what a library of the user's raises when it gives up."""
    raise asyncio.CancelledError


async def refuse(_: Ask) -> dict[str, object]:
    """Raise one of the errors that are there for lookups."""
    raise Overloaded


def asking(function: Callable[[Ask], Awaitable[object]]) -> Awaitable[Finding]:
    """Ask a lookup that is this function."""
    place = f"{__name__}:{function.__name__}"
    lookup = Lookup("churn", "python", "v1", (), {"risk": jmespath.compile("risk")}, python=place)
    return PythonBackend({"churn": lookup}).ask(lookup, ASK)


async def test_lookup_that_hangs_ends_with_its_attempt() -> None:
    """Its timeout, or the end of the worker, cancels it: taken for a failure, that would be tried again."""
    task = asyncio.ensure_future(asking(hang))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("function", [fail, cancel], ids=["its own", "cancelled"])
async def test_error_of_the_lookups_own_is_told_by_its_kind(
    function: Callable[[Ask], Awaitable[object]],
) -> None:
    """Its text may belong to a user, and goes to no log; a cancellation that nobody asked for is an error."""
    with pytest.raises(LookupFailed, match=rf":{function.__name__} raised (Value|Cancelled)Error$"):
        await asking(function)


async def test_error_that_is_there_for_lookups_is_the_answer() -> None:
    """The function knows best why there is none."""
    with pytest.raises(NoAnswer) as caught:
        await asking(refuse)
    assert type(caught.value) is Overloaded
