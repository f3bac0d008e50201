"""Python lookups: a function of the user's own fails as a backend does, and ends when it is told to."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import jmespath
import pytest
from structlog.testing import capture_logs

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


def plain(_: Ask) -> dict[str, object]:
    """Be no coroutine function."""
    return {"risk": "low"}


async def nothing(_: Ask) -> None:
    """Forget to return."""


async def pairs(_: Ask) -> list[object]:
    """Return what is no mapping."""
    return [("risk", "low")]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (plain, ":plain is not an async function: write `async def plain`"),
        (nothing, ":nothing returned None: return a mapping of names to values"),
        (pairs, ":pairs returned a value of the type list: return a mapping of names to values"),
    ],
)
async def test_function_that_gives_no_mapping_says_what_to_write(
    function: Callable[[Ask], Awaitable[object]], message: str
) -> None:
    """The commonest mistakes of a first lookup."""
    with pytest.raises(LookupFailed, match=re.escape(message) + "$"):
        await asking(function)


def inner(phone: str) -> None:
    """Fail with a user's data in the text and in the frame."""
    secret = f"secret {phone}"
    raise KeyError(secret)


async def chained(_: Ask) -> dict[str, object]:
    """Fail because of another failure."""
    try:
        inner("5550123")
    except KeyError as error:
        msg = "5550123 is not known"
        raise ValueError(msg) from error
    return {}


async def test_exception_is_logged_with_its_frames_and_without_a_value() -> None:
    """An author finds the line; nobody finds a customer's number."""
    with capture_logs() as lines, pytest.raises(LookupFailed):
        await asking(chained)
    (line,) = lines
    assert (line["event"], line["lookup"], line["trace_id"]) == ("lookup.raised", "churn", "t1")
    assert line["error"] == "ValueError from KeyError"
    (frame,) = line["frames"]
    assert frame.startswith(f"{__file__}:")
    assert frame.endswith(" in chained: raise ValueError(msg) from error")
    assert "5550123" not in str(line)


async def test_error_without_an_end_is_logged_in_short() -> None:
    """A recursion has a thousand frames."""

    async def deep(_: Ask) -> dict[str, object]:
        def again() -> None:
            again()

        again()
        return {}

    globals()["deep"] = deep
    with capture_logs() as lines, pytest.raises(LookupFailed):
        await asking(deep)
    assert len(lines[0]["frames"]) == 20
