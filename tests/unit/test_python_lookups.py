"""Python lookups: a function of the user's own fails as a backend does, and ends when it is told to."""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable

import jmespath
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from gateway.core.errors import (
    BackendRejected,
    BackendUnavailable,
    LookupFailed,
    NoAnswer,
    NotFound,
    Overloaded,
)
from gateway.core.messages import Job
from gateway.declared.backend import Backend
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.lookup import Lookup
from gateway.declared.reading import Secret
from gateway.lookup import Ask
from gateway.lookups.ask import GuardedBackend
from gateway.lookups.client import Clients
from gateway.lookups.python import PythonBackend, Threads
from gateway.lookups.reply import Finding
from gateway.resilience.board import Board
from gateway.resilience.stack import stack

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


def asking(function: Callable[[Ask], object]) -> Awaitable[Finding]:
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


async def nothing(_: Ask) -> None:
    """Forget to return."""


async def pairs(_: Ask) -> list[object]:
    """Return what is no mapping."""
    return [("risk", "low")]


@pytest.mark.parametrize(
    ("function", "message"),
    [
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


def plain(ask: Ask) -> dict[str, object]:
    """Be no coroutine function."""
    return {"risk": f"{ask.user} {threading.current_thread().name}"}


def later(_: Ask) -> Awaitable[object]:
    """Return what has to be awaited."""

    async def answer() -> dict[str, object]:
        return {"risk": "low"}

    return answer()


def stop(_: Ask) -> None:
    """Raise what no future can hold."""
    raise StopIteration


def missing(_: Ask) -> None:
    """Find nothing."""
    raise NotFound


async def test_plain_function_runs_in_a_thread() -> None:
    """It may block; the loop goes on."""
    assert (await asking(plain)).variables == {"risk": " lookup"}
    assert (await asking(later)).variables == {"risk": "low"}
    with pytest.raises(LookupFailed, match="raised RuntimeError"):
        await asking(stop)


async def test_thread_that_hangs_keeps_its_place_and_no_more() -> None:
    """Nobody can stop it; calls beyond the places are refused at once."""
    threads, ready, free = Threads(1), threading.Event(), threading.Event()

    def block() -> str:
        ready.set()
        free.wait(10)
        return "done"

    task = asyncio.ensure_future(threads.run(block))
    await asyncio.to_thread(ready.wait)
    with pytest.raises(Overloaded):
        await threads.run(plain, ASK)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(Overloaded):
        await threads.run(plain, ASK)
    free.set()
    while True:
        try:
            assert await threads.run(lambda: "free") == "free"
        except Overloaded:
            await asyncio.sleep(0)
        else:
            break


async def test_nothing_found_is_an_answer_where_that_is_declared() -> None:
    """Else the question was a wrong one."""
    with pytest.raises(BackendRejected, match="the lookup found nothing"):
        await asking(missing)
    place = f"{__name__}:missing"
    expressions = {"risk": jmespath.compile("risk")}
    lookup = Lookup("churn", "python", "v1", (), expressions, python=place, not_found={"risk": "none"})
    found = await PythonBackend({"churn": lookup}).ask(lookup, ASK)
    assert (found.variables, found.found) == ({"risk": "none"}, False)


calls: list[object] = []


async def opened(options: dict[str, object]) -> str:
    """Open a pool."""
    calls.append(options)
    return "pool"


def closed(state: object) -> None:
    """Close it, and fail."""
    calls.append(state)
    raise ValueError(state)


def broken(_: object) -> None:
    """Be no use."""
    msg = "no route"
    raise OSError(msg)


async def whole(ask: Ask) -> dict[str, object]:
    """Use all that a lookup gets."""
    ask.log("asked", how="fast", session="another", options=ask.options)
    return {"risk": f"{ask.state} {ask.options['a']} {ask.options['b']}"}


async def test_hooks_are_called_once_and_options_come_with_the_question() -> None:
    """Those of the lookup come before those of its backend."""
    calls.clear()
    here = f"{__name__}:"
    declared = Backend(
        kind="python", open=f"{here}opened", close=f"{here}closed", options={"a": 1, "b": Secret("s3cret")}
    )
    lookup = Lookup(
        "churn", "own", "v1", (), {"risk": jmespath.compile("risk")}, python=f"{here}whole", options={"a": 2}
    )
    backend = PythonBackend({"churn": lookup}, declared, "own")
    with capture_logs() as lines:
        await backend.start()
        assert (await backend.ask(lookup, ASK)).variables == {"risk": "pool 2 s3cret"}
        await backend.close()
    assert calls == [{"a": 1, "b": "s3cret"}, "pool"]
    broken_one = PythonBackend({}, replace(declared, open=f"{here}broken", close=f"{here}closed"), "own")
    with pytest.raises(ImportError):
        await broken_one.start()
    await broken_one.close()  # what was not opened is not closed
    assert len(calls) == 2
    assert [line["event"] for line in lines] == ["lookup.said", "lookup.raised"]
    assert (lines[0]["text"], lines[0]["session"], lines[0]["fields"]["how"]) == ("asked", "s1", "fast")
    assert lines[1]["function"] == "backends.own.close"
    assert "s3cret" not in repr(lines) + repr(declared)


async def careless(ask: Ask) -> dict[str, object]:
    """Write into what it got, as no type allows; fail at first, as a service that has a bad moment."""
    assert isinstance(ask.inputs, dict)
    ask.inputs["id"] = "0" + ask.inputs["id"]
    headers = ask.options["headers"]
    headers["X-Customer"] = headers.get("X-Customer", ask.inputs["id"])
    ask.options["roles"].append("guest")
    calls.append(ask.options)
    if len(calls) == 1:
        raise BackendUnavailable
    return {"risk": headers["X-Customer"]}


async def test_what_a_function_writes_into_its_question_reaches_no_other_attempt_or_session() -> None:
    """Else the second attempt asks for another customer, and the next session gets this one's."""
    calls.clear()
    lookup = Lookup(
        "churn",
        "own",
        "v1",
        ("id",),
        {"risk": jmespath.compile("risk")},
        python=f"{__name__}:careless",
        options={"headers": {}, "roles": []},
    )
    declared = Backend(kind="python", attempts=2)
    bare = PythonBackend({"churn": lookup}, declared, "own")
    backend = GuardedBackend("own", declared, {"churn": lookup}, bare, stack(declared, Board(), "own"))
    for name in ("7", "8"):
        asked = await backend.ask(Job("churn", {"id": name}, 1, f"s{name}", "r", "t", version="v1"), "j", 5.0)
        assert asked.answer.variables == {"risk": f"0{name}"}
    assert [len(one["roles"]) for one in calls if isinstance(one, dict)] == [1, 1, 1]


async def test_hook_that_fails_or_is_not_there_keeps_a_worker_from_its_start() -> None:
    """With the setting's name."""
    declared = Backend(kind="python", open=f"{__name__}:broken")
    with pytest.raises(ImportError, match=r"backends\.own\.open raised OSError: lookup.raised"):
        await PythonBackend({}, declared, "own").start()
    with pytest.raises(ImportError, match=r"backends\.own\.close"):
        PythonBackend({}, Backend(kind="python", close="nowhere:f"), "own")
    await PythonBackend({}).start()


async def test_backend_that_is_not_declared_is_no_client() -> None:
    """Nor is a database, nor any outside of a lookup."""
    catalog = compile_catalog(*read('[backends.db]\nurl = "sqlite:///x"\n', {}))
    clients = Clients(catalog.askable, pytest.fail)
    for name in ("db", "crm"):
        with pytest.raises(LookupFailed, match="there is no HTTP backend"):
            clients.client(ASK, name, deadline=1.0)
    with pytest.raises(LookupFailed, match="inside of a lookup alone"):
        ASK.backend("crm")
    await clients.close()
