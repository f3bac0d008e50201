"""The documentation as a site: each page has its place, and a link that leads nowhere stops the build."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.desk import ROOT
from tests.documents import DOCUMENTS, README
from tests.pages.site import gather

pytestmark = pytest.mark.timeout(120)
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def built(folder: Path, more: str = "") -> tuple[int, str]:
    """Build the site in a folder, with ``more`` at the end of README; return exit code and output."""
    source, config = folder / "build" / "site" / "source", folder / "mkdocs.yml"
    gather(source)
    with (source / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(more)
    config.write_text(CONFIG)
    program = Path(sys.executable).parent / "zensical"
    command = [str(program), "build", "--strict", "--clean", "-f", str(config)]
    told = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return told.returncode, (told.stdout + told.stderr).decode()


def pages(nav: Any) -> Iterator[str]:  # noqa: ANN401 - as YAML has it
    """Yield each page of the navigation."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for inner in nav.values():
            yield from pages(inner)
    else:
        for inner in nav:
            yield from pages(inner)


def test_site_is_built_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    """Nothing is loaded from elsewhere: it is read in networks without the internet, too."""
    code, said = built(tmp_path)
    assert code == 0, said
    page = (tmp_path / "build" / "site" / "html" / "docs" / "settings.html").read_text(encoding="utf-8")
    assert "gateway.budget" in page
    assert "fonts.googleapis.com" not in page


@pytest.mark.parametrize("link", ["docs/nowhere.md", "docs/logs.md#nowhere"])
def test_dead_link_stops_the_build(link: str, tmp_path: Path) -> None:
    """Else it would be found by a reader."""
    code, said = built(tmp_path, f"\n[dead]({link})\n")
    assert code != 0
    assert "1 issue found" in said


def test_every_document_has_its_place() -> None:
    """One that is in no menu is not found."""
    assert sorted(pages(yaml.safe_load(CONFIG)["nav"])) == sorted(
        path.relative_to(ROOT).as_posix() for path in DOCUMENTS
    )


def test_readme_is_short() -> None:
    """It says what this is, and where to read on."""
    assert len(README.splitlines()) <= 150


def test_source_of_the_site_is_gathered_anew(tmp_path: Path) -> None:
    """A page that is gone must not stay in the site."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "old.md").write_text("x")
    gather(tmp_path / "source")
    assert not (tmp_path / "source" / "old.md").exists()
    shutil.rmtree(tmp_path / "source")
