"""The Lua scripts and their wrappers in Python agree, and what both sides must know stands in one place."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.core.errors import Code
from gateway.core.messages import Answer, Job
from gateway.core.packing import pack
from gateway.core.records import Record
from gateway.fleet.board import SwapArguments, SwapKeys
from gateway.forgetting.forget import ForgetArguments
from gateway.front.alone.restorer import RestoreRow
from gateway.history.counting import COUNT_ROW
from gateway.history.recorder import KEEP_ROW, KeepArguments
from gateway.queue.begin import LOOKUP_ARGUMENTS, LOOKUP_KEYS, BeginArguments, BeginScript, Begun
from gateway.queue.finish import (
    JOB_ARGUMENTS,
    JOB_KEYS,
    FinishArguments,
    FinishKeys,
    SweepArguments,
    SweepKeys,
    WorkerSide,
)
from gateway.queue.jobs import Envelope, State, Taken, Wanted
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.desk import ROOT

FILES = sorted((ROOT / "gateway").rglob("*.lua"))
PRELUDES = {"msgpack", "record", "lane", "take"}
SCRIPTS = {path.stem: path.read_text(encoding="utf-8") for path in FILES if path.stem not in PRELUDES}

Names = tuple[str, ...]


class Layout(NamedTuple):
    """The names of a script's KEYS or ARGV in their order: those that it gets once, and those of each row."""

    once: Names = ()
    row: Names = ()


LAYOUTS: dict[str, tuple[Layout, Layout]] = {
    "begin": (Layout((), LOOKUP_KEYS), Layout(BeginArguments._fields, LOOKUP_ARGUMENTS)),
    "finish": (
        Layout(FinishKeys._fields, JOB_KEYS),
        Layout(FinishArguments._fields, JOB_ARGUMENTS),
    ),
    "sweep": (Layout(SweepKeys._fields), Layout(SweepArguments._fields, ("id",))),
    "swap": (Layout(SwapKeys._fields), Layout(SwapArguments._fields)),
    "probe": (Layout(("probe", "job")), Layout(("channel",))),
    "forget": (Layout((), ("index",)), Layout(ForgetArguments._fields, ("name",))),
    "keep": (Layout((), ("history",)), Layout(KeepArguments._fields, KEEP_ROW)),
    "count": (Layout(), Layout(("kept",), COUNT_ROW)),
    "restore": (Layout(("forgotten",), ("record",)), Layout(("since",), RestoreRow._fields)),
}

ONCE = re.compile(r"^local ([\w, ]+) = unpack\((KEYS|ARGV), 1, (\d+)\)$", re.MULTILINE)
ROW = re.compile(
    r"^local function (\w+)\(i\) return unpack\((KEYS|ARGV), (\d+) \* i(?: ([+-] \d+))?, "
    r"(\d+) \* i(?: ([+-] \d+))?\) end$",
    re.MULTILINE,
)
COMMENT = re.compile(r"--.*")


def test_every_script_is_compared() -> None:
    """A new script must not slip through."""
    assert set(LAYOUTS) == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("kind", ["KEYS", "ARGV"])
def test_script_names_what_its_wrapper_sends(name: str, kind: str) -> None:
    """Two sides that count positions by themselves drift apart, and a wrong position is a wrong answer."""
    script, layout = SCRIPTS[name], LAYOUTS[name][kind == "ARGV"]
    once = [(_names(found[1]), int(found[3])) for found in ONCE.finditer(script) if found[2] == kind]
    assert once == ([(layout.once, len(layout.once))] if layout.once else [])
    rows = [found for found in ROW.finditer(script) if found[2] == kind]
    assert len(rows) == bool(layout.row)
    for function, _, size, offset, same_size, last in (found.groups() for found in rows):
        used = re.findall(rf"^ *local ([\w, ]+) = {function}\(i\)$", script, re.MULTILINE)
        assert [_names(one) for one in used] == [layout.row]
        assert (int(size), int(same_size)) == (len(layout.row), len(layout.row))
        first = len(layout.once) + 1
        assert int(size) + _number(offset) == first
        assert int(size) + _number(last) == first + len(layout.row) - 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_reads_arguments_in_one_block(name: str) -> None:
    """Below it every argument has a name."""
    code = COMMENT.sub("", SCRIPTS[name])
    left = ROW.sub("", ONCE.sub("", code))
    assert not re.findall(r"(?<!#)\b(?:KEYS|ARGV)\b", left)


@pytest.mark.parametrize("name", SCRIPTS)
def test_head_of_a_script_explains_each_argument(name: str) -> None:
    """A reader finds in one place what comes in, in its order."""
    head = SCRIPTS[name].split("\nlocal ", 1)[0]
    for kind, layout in zip(("KEYS", "ARGV"), LAYOUTS[name], strict=True):
        blocks = re.findall(rf"^-- {kind}(?:, for each .*)?\n((?:--   .*\n)+)", head, re.MULTILINE)
        explained = [_explained(block) for block in blocks]
        assert explained == [names for names in layout if names]


JOB = Job("order", {"id": "1"}, 7, "s1", "7:s1:order:x", "t1", "7:user=u1:order:x", "u1")
KEYS = Keys("p")


async def test_lookup_is_sent_in_the_order_of_its_names() -> None:
    """They stand beside the values, not at them: names at the values would cost each callback 3 µs."""
    script = BeginScript(RedisLink("redis://127.0.0.1:1", 1.0), KEYS, "p:replies:g")
    names: list[str] = []
    values: list[bytes | str | float] = []
    script._add(names, values, Wanted(JOB, "crm", 1.0, 2.0, 3.0, indexed=4.0, not_found_fresh=0.5), 5.0)
    assert dict(zip(LOOKUP_KEYS, names, strict=True)) == {
        "record": "p:record:7:s1:order:x",
        "flight": "p:flight:7:s1:order:x",
        "lane": "p:lane:crm",
        "free": "p:free:crm",
        "pace": "p:pace:crm",
    }
    assert dict(zip(LOOKUP_ARGUMENTS, values, strict=True)) == {
        "left": 5000,
        "fresh": 1000,
        "revalidate": 3000,
        "not_found": 500,
        "overrun": 2000,
        "id": "p:t1:order",
        "body": pack(JOB) + pack("p:replies:g"),
        "of_user": "p:record:7:user=u1:order:x",
        "session": "p:session:7:s1",
        "indexed": 4000,
    }


async def test_finished_job_is_sent_in_the_order_of_its_names() -> None:
    """An answer in the place of a record would be served for minutes."""
    side = WorkerSide(RedisLink("redis://127.0.0.1:1", 1.0), KEYS, "crm", "p:jobs:w", 1.0)
    answer = Answer("p:t1:order", Code.OK, "", {"status": "sent"})
    taken = Taken("p:t1:order", 1, Envelope(1.0, 2.0, JOB, "p:replies:g"), 1000.0)
    names, values = side._row(taken, answer, 3.0, 60.0, pass_on=True)
    assert dict(zip(JOB_KEYS, names, strict=True)) == {
        "record": "p:record:7:s1:order:x",
        "waiters": "p:wait:p:t1:order",
        "job": "arq:job:p:t1:order",
        "retry": "arq:retry:p:t1:order",
        "claim": "arq:in-progress:p:t1:order",
    }
    row = dict(zip(JOB_ARGUMENTS, values, strict=True))
    assert row.pop("answer") != pack(answer)  # it says its age, too
    assert float(str(row.pop("age"))) > 0
    assert row == {
        "id": "p:t1:order",
        "data": pack(Record(4000.0, {"status": "sent"}, "u1")),
        "took": 3998.0,
        "kept": 60_000,
        "channel": "p:replies:g",
        "of_user": "p:record:7:user=u1:order:x",
        "pass_on": "1",
    }


def test_states_are_those_of_the_script() -> None:
    """begin.lua answers with a number, and a flow branches on it."""
    found = re.search(r"^local ([A-Z, ]+) = ([\d, ]+)$", SCRIPTS["begin"], re.MULTILINE)
    assert found
    numbers = [int(number) for number in found[2].split(", ")]
    assert dict(zip(_names(found[1]), numbers, strict=True)) == {state.name: int(state) for state in State}


def test_reply_of_begin_is_in_the_order_of_its_rows() -> None:
    """It is read by position, too."""
    rows = re.findall(r"replies\[#replies \+ 1\] = (\w+)", SCRIPTS["begin"])
    assert rows == ["state", "known", "job", "users"]
    assert Begun._fields == ("state", "record", "job", "of_user")


@pytest.mark.parametrize(
    ("owner", "magic"),
    [
        ("msgpack", r"\\\d{2,3}|struct\."),
        ("lane", r"\d+e\d+|/ 10\b"),
        ("lane", r"arq:"),
    ],
    ids=["bytes of msgpack", "bands of scores", "keys of arq"],
)
def test_magic_stands_in_one_prelude(owner: str, magic: str) -> None:
    """A change of it is a change of one line."""
    found = {path.stem for path in FILES if re.search(magic, COMMENT.sub("", _text(path)))}
    assert found == {owner}


def _names(text: str) -> Names:
    return tuple(text.split(", "))


def _number(text: str | None) -> int:
    return int((text or "0").replace(" ", ""))


def _explained(block: str) -> Names:
    """Return the names that the lines of a head explain, several in a line with commas."""
    lines = re.findall(r"^--   (\w+(?:, \w+)*) {2,}\S", block, re.MULTILINE)
    return tuple(name for line in lines for name in _names(line))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
