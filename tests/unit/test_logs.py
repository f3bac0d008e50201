"""Log lines, read as a log collector reads them: from the standard output of a real process."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from gateway.telemetry.writer import BUFFERED, Writer

SETUP = """
import asyncio, logging, structlog
from gateway.telemetry.logs import configure_logs
configure_logs("worker", "json")
log = structlog.get_logger("test")
"""


def output(code: str) -> str:
    """Return what a Python process that runs ``code`` to its end writes to standard output."""
    return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout.decode()


def lines(code: str) -> list[dict[str, object]]:
    """Return the JSON lines of a process with logs configured."""
    return [json.loads(line) for line in output(SETUP + code).splitlines()]


def test_each_event_is_one_line_of_json() -> None:
    """Name, level, time, kind of process, and what there is to say; a text's line break makes no line."""
    first, second = lines(
        """
lookups = {"order": {"age_ms": None, "code": 0}}
log.info("callback.answered", app=1400000001, session="s\\n1 é", lookups=lookups)
log.warning("redis.lost", error=ValueError("x"), kind=int)
"""
    )
    assert first.pop("timestamp", "").endswith("Z")  # type: ignore[attr-defined]
    assert first == {
        "event": "callback.answered",
        "level": "info",
        "process": "worker",
        "app": 1400000001,
        "session": "s\n1 é",
        "lookups": {"order": {"age_ms": None, "code": 0}},
    }
    assert (second["event"], second["level"], second["error"]) == ("redis.lost", "warning", "ValueError('x')")


def test_processes_that_share_a_pipe_do_not_mix_their_lines() -> None:
    """Gateways with `--processes` write to one output, and its reader may be slow."""
    code = """
async def main():
    log.info("ready")
    await asyncio.sleep(0)
    sys.stdin.read()  # until all are there
    for _ in range(10):
        for number in range(200):
            log.info("callback.answered", text="x" * (number + 300))
        await asyncio.sleep(0)
asyncio.run(main())
"""
    read, write = os.pipe()
    command = [sys.executable, "-c", f"import sys\n{SETUP}{code}"]
    with ExitStack() as stack, os.fdopen(read, "rb", buffering=64) as reader:
        processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write) for _ in range(3)]
        os.close(write)
        for process in processes:
            stack.enter_context(process)
        assert [json.loads(reader.readline())["event"] for _ in processes] == ["ready"] * 3
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        assert len([json.loads(line) for line in reader]) == 6000


def test_a_reader_that_sleeps_costs_lines_and_no_time() -> None:
    """Callbacks go on. When it reads again, it is told how many lines it missed."""
    code = """
async def main():
    begun = time.monotonic()
    for number in range(200):
        for _ in range(100):
            log.info("callback.answered", number=number, text="x" * 1000)
        await asyncio.sleep(0)
    print(time.monotonic() - begun, file=sys.stderr, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    while True:
        log.info("later")
        await asyncio.sleep(0.01)
import os, sys, time
asyncio.run(main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", SETUP + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert float(process.stderr.readline()) < 5  # 20 MB, of which a pipe takes 64 KiB
        process.stdin.write(b"\n")
        process.stdin.flush()
        kept, levels, lost = 0, set(), 0
        for line in process.stdout:
            event = json.loads(line)
            kept += event["event"] == "callback.answered"
            if event["event"] == "log.dropped":  # once, or twice if the pipe took some lines in between
                lost += event["lines"]
                levels.add(event["level"])
            if kept + lost >= 20_000:
                break
        process.kill()
    assert levels == {"warning"}
    assert kept > 5000


@pytest.mark.parametrize("where", ["/dev/full", "a pipe whose reader has gone"])
def test_a_log_that_cannot_be_written_is_no_work(where: str) -> None:
    """To log that, too, or to try without a pause would take a whole CPU for ever."""
    code = """
async def main():
    for _ in range(300):
        log.info("callback.answered", text="x" * 1000)
        await asyncio.sleep(0.001)
    used = time.process_time()
    await asyncio.sleep(0.5)
    print(time.process_time() - used, file=sys.stderr, flush=True)
import os, sys, time
asyncio.run(main())
"""
    if where == "/dev/full":
        out = os.open(where, os.O_WRONLY)
    else:
        read, out = os.pipe()
        os.close(read)
    command = [sys.executable, "-c", SETUP + code]
    with os.fdopen(out, "wb") as gone:
        ended = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, check=True)
    assert float(ended.stderr) < 0.1


def test_a_line_that_a_full_disk_has_cut_spoils_no_other(tmp_path: Path) -> None:
    """A part of a line may fit. The next one begins on a line of its own, once there is room."""
    out = tmp_path / "log"
    code = """
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limit[1]))
async def main():
    for number in range(3):
        log.info("callback.answered", number=number, text="x" * 1000)
        await asyncio.sleep(0.1)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    for number in range(3, 5):
        log.info("callback.answered", number=number)
        await asyncio.sleep(0.1)
asyncio.run(main())
"""
    with out.open("wb") as file:
        subprocess.run([sys.executable, "-c", SETUP + code], stdout=file, check=True)
    read = []
    for line in out.read_bytes().splitlines():
        with suppress(ValueError):
            read.append(json.loads(line))
    assert [line.get("number") for line in read if line["event"] == "callback.answered"] == [0, 3, 4]
    assert [line["lines"] for line in read if line["event"] == "log.dropped"] == [2]


def test_output_that_another_process_made_non_blocking_is_waited_for() -> None:
    """The flag belongs to the open file, and all its processes share it."""
    code = """
import os
os.set_blocking(1, False)
for number in range(2000):
    log.info("e", number=number, text="x" * 200)
"""
    assert [line["number"] for line in lines(code)] == list(range(2000))


def test_one_text_that_cannot_be_encoded_spoils_no_other_field() -> None:
    """Filters go by the event, the level and the code."""
    (line,) = lines(r'log.warning("callback.refused", code=120100, path="/\udcff", nested={1: "\ud800"})')
    assert (line["event"], line["level"], line["code"]) == ("callback.refused", "warning", 120100)
    assert line["path"] == "/\\udcff"


def test_an_object_that_cannot_be_shown_spoils_no_other_line() -> None:
    """A Python lookup logs what it likes: an object of a database may ask that in its ``__repr__``."""
    code = """
class Detached:
    def __repr__(self):
        raise AttributeError("no session")

async def main():
    log.info("callback.answered")
    log.info("lookup.said", lookup="order", fields={"row": Detached(), "number": 10**5000})
    log.info("callback.answered")

asyncio.run(main())
"""
    before, said, after = lines(code)
    assert [before["event"], said["event"], after["event"]] == [
        "callback.answered",
        "lookup.said",
        "callback.answered",
    ]
    assert said["lookup"] == "order"


def test_a_closed_output_swallows_the_lines() -> None:
    """``>&-``: the number of standard output may be that of a connection by now."""
    code = SETUP + "log.info('callback.answered')\nimport sys\nprint('went on', file=sys.stderr)"
    ended = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code], stderr=subprocess.PIPE, check=True
    )
    assert ended.stderr == b"went on\n"


def test_lines_of_many_turns_are_written_together() -> None:
    """A thread woken for each turn of the loop takes the interpreter from it."""
    writing, reading = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # it keeps writes apart
    with writing, reading:
        writer = Writer(writing.fileno(), lambda *_: None)
        lines = [b"line %d" % number for number in range(200)]
        for line in lines:
            writer.put([line])
            os.sched_yield()  # the thread may write it at once
        writer.close()
        writing.shutdown(socket.SHUT_WR)
        writes = list(iter(lambda: reading.recv(BUFFERED), b""))
    assert b"".join(writes).split() == b" ".join(lines).split()
    assert len(writes) <= 20


def test_what_the_collector_ends_may_log_in_the_thread_of_the_log() -> None:
    """That thread has the lock in most of its steps. It waited for itself for ever, and so did all others."""
    code = """
import gc, time
class Forgotten:
    def __init__(self):
        self.itself = self
    def __del__(self):
        log.info("late")
gc.set_threshold(1)
for number in range(100):
    gc.disable()
    for _ in range(20):
        Forgotten()
    log.info("line", number=number)
    gc.enable()
    time.sleep(0.005)
gc.collect()
"""
    heard = lines(code)
    assert [line["number"] for line in heard if line["event"] == "line"] == list(range(100))
    assert sum(line["event"] == "late" for line in heard) == 2000


def test_lines_that_wait_are_written_at_the_end() -> None:
    """The last lines say why a process ended."""
    heard = lines("for number in range(5000):\n    log.info('e', number=number)")
    assert [line["number"] for line in heard] == list(range(5000))


def test_name_level_and_time_come_first() -> None:
    """A person who looks at raw lines sees them without a search."""
    (text,) = output(SETUP + 'log.info("worker.started", lane="crm", level_of_care=1)').splitlines()
    assert list(json.loads(text))[:4] == ["event", "level", "timestamp", "process"]


NASTY = "\x1b]0;owned\x07 \x9b2J \r\n \u202e \ud800 \x7f é 客户"


def test_a_terminal_is_shown_no_character_that_it_would_obey() -> None:
    """The path of a request without a signature is logged, so anybody may write here."""
    code = SETUP.replace('"json"', '"text", colors=False')
    code += f"""
nasty = {NASTY!r}
log.warning("callback.refused", path=nasty, lookups={{nasty: {{"source": nasty}}}}, **{{nasty: 1}})
secret = "hunter2"
try:
    raise ValueError(nasty)
except ValueError:
    log.exception("callback.failed")
"""
    text = output(code)
    assert {one for one in text if not one.isprintable()} == {"\n"}
    assert "é 客户" in text
    assert "\\x1b]0;owned\\x07" in text
    assert "ValueError" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("environ", "colored"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False)],
)
def test_colors_are_as_the_environment_wishes(environ: dict[str, str], colored: bool) -> None:  # noqa: FBT001
    """Both names are conventions that other programs keep to (no-color.org, force-color.org)."""
    code = SETUP.replace('"json"', '"text", colors=wish_for_colors()')
    code = "from gateway.declared.environment import wish_for_colors" + code + 'log.info("worker.started")'
    clean = {
        name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "TERM"}
    }
    text = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, env={**clean, **environ}
    ).stdout
    assert (b"\x1b[" in text) == colored


def test_a_bug_is_logged_with_its_trace() -> None:
    """An INTERNAL code in a reply is of use only together with the trace."""
    (line,) = lines(
        """
try:
    1 / 0
except ZeroDivisionError:
    log.exception("callback.failed", trace_id="t1")
"""
    )
    assert (line["event"], line["level"], line["trace_id"]) == ("callback.failed", "error", "t1")
    assert "ZeroDivisionError: division by zero" in str(line["exception"])


def test_debug_lines_stay_out() -> None:
    """A line that nobody reads still costs a millisecond in a hundred callbacks."""
    code = """
from gateway.telemetry import events
events.attempt_ended(lookup="l", backend="b", attempt=1, outcome="OK", took=0.1, trace_id="t", span_id="s")
"""
    assert lines(code) == []


def test_what_libraries_log_leaves_in_the_same_form() -> None:
    """Half of the lines in another format is what a collector drops."""
    heard = lines(
        """
logging.getLogger("aiohttp.server").error("Error in %s", "handler", exc_info=ValueError("x"))
logging.getLogger("arq.worker").warning("late %d%%", 5)
logging.getLogger("arq.worker").info("never seen")
"""
    )
    assert [(line["event"], line["level"], line["logger"], line["message"]) for line in heard] == [
        ("library.logged", "error", "aiohttp.server", "Error in handler"),
        ("library.logged", "warning", "arq.worker", "late 5%"),
    ]
    assert "ValueError: x" in str(heard[0]["exception"])


def test_a_task_that_failed_unseen_is_logged() -> None:
    """Only the standard library's logging is told about it."""
    (line,) = lines(
        """
async def fail():
    raise ValueError("unseen")
async def main():
    asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
asyncio.run(main())
"""
    )
    assert line["level"] == "error"
    assert "ValueError: unseen" in str(line["exception"])


def test_a_terminal_gets_readable_lines() -> None:
    """A person reads them while trying things out."""
    text = output(SETUP.replace("json", "text") + 'log.info("worker.started", lane="crm")')
    assert "worker.started" in text
    assert "lane" in text
    assert not text.startswith("{")


def test_any_kind_of_value_can_be_logged() -> None:
    """A value that JSON does not know is written as Python shows it."""
    values = (
        "10**30",
        "float('nan')",
        "b'\\xff'",
        "object()",
        "{1, 2}",
        "{1: 2}",
        "{(1, 'a'): 2}",
        "asyncio",
    )
    heard = lines("\n".join(f"log.info('e', value={value})" for value in values))
    assert len(heard) == len(values)
    assert all("value" in line for line in heard)


UNUSUAL = {
    "a lone surrogate": r'log.info("e", path="/\udcff")',
    "a level of the library's own": 'logging.getLogger("lib").log(35, "between warning and error")',
    "arguments that do not fit": 'logging.getLogger("lib").warning("%d", "text")',
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_no_log_call_raises(kind: str) -> None:
    """A line is there to tell about a callback, never to end one."""
    assert lines(UNUSUAL[kind] + '\nlog.info("afterwards")')[-1]["event"] == "afterwards"
