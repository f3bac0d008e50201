"""Pages that are made from the code are those that lie in docs; real lines keep to the schema."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.reading import ConfigFaults
from tests.desk import ROOT
from tests.documents import MANUAL, blocks
from tests.pages.__main__ import PAGES
from tests.pages.events import functions, lines


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"docs/sizing.md"}))
def test_page_is_made_from_the_code_as_it_is(name: str) -> None:
    """`make pages` makes it anew."""
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name]()


@pytest.mark.timeout(120)
def test_schema_takes_each_event_and_no_slip() -> None:
    """Collectors rely on names and types."""
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    told = lines()
    assert set(told) == set(functions())
    for line, less in told.values():
        assert [*validator.iter_errors(line), *validator.iter_errors(less)] == []
        for wrong in ({"level": "loud"}, {"event": "no.such"}, {"timestamp": 7}):
            assert not validator.is_valid(line | wrong)


CONFIGURATIONS = [
    *sorted(ROOT.glob("examples/*/deskgate.toml")),
    *(ROOT / name for name in ("ops/deskgate.toml", "tests/storm/deskgate.toml")),
]
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((ROOT / "docs" / "deskgate.schema.json").read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: f"{path.parent.name}")
def test_editors_find_no_fault_in_our_configurations(path: Path) -> None:
    """A schema that marks what is right would be switched off."""
    assert [*SCHEMA.iter_errors(tomllib.loads(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize("block", blocks(MANUAL, "toml"), ids=lambda block: block.splitlines()[0])
def test_editors_find_no_fault_in_the_manual(block: str) -> None:
    """As above."""
    assert [*SCHEMA.iter_errors(tomllib.loads(block))] == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[gateway]\nbudgit = '1s'", "$.gateway"),
        ("[gateway]\nbudget = '1600'", "$.gateway.budget"),
        ("[gateway]\nbudget = 1.6", "$.gateway.budget"),
        ("[apps.1]\nsignature = 'maybe'", "$.apps['1'].signature"),
        ("[lookups.a]\nvariables = {a = 'a'}\nfresh = 'soon'", "$.lookups.a.fresh"),
        ("[backends.b]\nurl = 'http://x'\nauth = { type = 'secret' }", "$.backends.b.auth"),
        ("[[routes]]\nlookups = 'a'", "$.routes[0].lookups"),
    ],
)
def test_editors_mark_what_check_would_refuse(text: str, place: str) -> None:
    """At the place where it stands."""
    assert [error.json_path for error in SCHEMA.iter_errors(tomllib.loads(text))] == [place]
    with pytest.raises(ConfigFaults):
        compile_catalog(*read(text, {}))


def test_schema_is_printed() -> None:
    """By the installed command."""
    assert CliRunner().invoke(main, ["schema"]).output == PAGES["docs/deskgate.schema.json"]()


def test_every_event_has_its_section() -> None:
    """In the order of the code."""
    page = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == [*functions()]
