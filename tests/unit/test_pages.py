"""Pages that are made from the code are those that lie in docs; real lines keep to the schema."""

import json
import re

import jsonschema
import pytest

from tests.desk import ROOT
from tests.pages.__main__ import PAGES
from tests.pages.events import functions, lines


@pytest.mark.parametrize("name", PAGES)
def test_page_is_made_from_the_code_as_it_is(name: str) -> None:
    """`make pages` makes it anew."""
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name]()


def test_schema_takes_each_event_and_no_slip() -> None:
    """Collectors rely on names and types."""
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    told = lines()
    assert set(told) == set(functions())
    for line in (line for both in told.values() for line in both):
        assert [*validator.iter_errors(line)] == []
        for wrong in ({**line, "level": "loud"}, {**line, "event": "no.such"}, {**line, "timestamp": 7}):
            assert not validator.is_valid(wrong)


def test_every_event_has_its_section() -> None:
    """In the order of the code."""
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == [*functions()]
