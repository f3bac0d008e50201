"""Variants of a configuration differ from it where they say so, and nowhere else."""

import tomllib

import pytest

from tests.desk import ROOT, Place
from tests.variants import varied, written

SAMPLE = (ROOT / "ops" / "deskgate.toml").read_text(encoding="utf-8")
NESTED = (
    '[apps."1\\n"]\nmarkers = { "a b" = "\\"", c = [1, 2.5, true, []] }\n[[routes]]\n[[routes]]\nx = {}\n'
)


@pytest.mark.parametrize(
    "text", [Place("", "", "").config(), SAMPLE, NESTED], ids=["tests", "sample", "nested"]
)
def test_configuration_is_written_as_it_was_read(text: str) -> None:
    """A test of a variant must not test a slip of the pen."""
    tables = tomllib.loads(text)
    assert tomllib.loads(written(tables)) == tables


def test_setting_is_changed_added_or_left_out_at_its_place() -> None:
    """The places are those that faults name."""
    changed = varied("[a]\nb = 1\n[c.d]\ne = 2\n", {"a.b": "x", "c.d.e": None, "c.d.f": {"g": 3}, "h.i": []})
    assert tomllib.loads(changed) == {"a": {"b": "x"}, "c": {"d": {"f": {"g": 3}}}, "h": {"i": []}}


def test_setting_that_is_not_there_cannot_be_left_out() -> None:
    """The variant would be no other configuration, and its test one that passes for nothing."""
    with pytest.raises(KeyError):
        varied("[a]\nb = 1\n", {"a.c": None})
