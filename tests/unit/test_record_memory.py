"""The bound on records in memory holds for the text of any language."""

import time
import tracemalloc

import pytest

from gateway.core.packing import pack
from gateway.core.records import Record
from gateway.records.memory import RecordMemory

BOUND = 2 * 1024 * 1024


@pytest.mark.parametrize("text", ["plain text", "客户姓名", "😀", "plain text with one 😀 in it"], ids=ascii)
def test_records_take_as_much_memory_as_the_setting_says(text: str) -> None:
    """One emoji makes each character of its text take four bytes."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        memory = RecordMemory(1_000_000, BOUND)
        for number in range(6000):
            variables = {"customer_name": f"{text}{number}", "note": f"{text * 20}{number}"}
            data = pack(Record(1.0, variables, f"user{number}", found=True))
            memory.read(f"1400000001:s{number}:order:{number}", data, 1.0, time.monotonic())
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < len(memory) < 6000
    assert 0.7 * BOUND < after - before < 1.2 * BOUND


def test_smaller_bound_is_kept_to_from_the_next_record_on() -> None:
    """A reload may say so."""
    memory = RecordMemory(100)
    for number in range(50):
        data = pack(Record(1.0, {"a": "b"}, "", found=True))
        memory.read(f"1:s{number}:order:{number}", data, 1.0, time.monotonic())
    memory.resize(10, BOUND)
    memory.read("1:last:order:1", pack(Record(1.0, {"a": "b"}, "", found=True)), 1.0, time.monotonic())
    assert len(memory) == 10
