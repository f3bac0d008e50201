"""What is published holds what belongs there, and the image's lock is a part of the developers'."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk import ROOT
from tests.release.__main__ import build, supported

pytestmark = pytest.mark.timeout(120)

STRAY = ("secret.txt", ".env", "notes.md", "gateway/secret.key", "ops/token.env", "data/appendonly.aof")


def test_stray_files_of_a_checkout_are_not_published(tmp_path: Path) -> None:
    """A token in a file beside the code would be on PyPI for ever."""
    copy = tmp_path / "checkout"
    away = shutil.ignore_patterns(".venv", ".git", "build", "dist", ".*_cache", ".hypothesis", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=away)
    for name in STRAY:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("hunter2")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert not names & set(STRAY)
    assert {"pyproject.toml", "README.md", "LICENSE", "gateway/cli/__init__.py", "workers/main.py"} <= names
    assert {"gateway/queue/lua/begin.lua", "ops/deskgate.toml", "ops/Dockerfile", "gateway/py.typed"} <= names
    assert "tests/acceptance/test_packaging.py" in names


def test_archives_are_what_the_index_takes(tmp_path: Path) -> None:
    """Checked by its own tool, and by one that looks for what does not belong there."""
    wheel, sdist = build(tmp_path / "dist")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (wheel.name, sdist.name) == (f"deskgate-{version}-py3-none-any.whl", f"deskgate-{version}.tar.gz")
    assert [*supported()] == ["3.11", "3.12", "3.13"]


def test_image_has_all_that_its_commands_read(tmp_path: Path) -> None:
    """`deskgate init` and `schema` find their files there, and Docker copies nothing that is left out."""
    copy = tmp_path / "src"
    for source, target in copied():
        place = (
            copy / target / (Path(source).name if target.endswith("/") and (ROOT / source).is_file() else "")
        )
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, copy / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / source, place)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(archive).namelist())
    assert {"gateway/samples/deskgate.toml", "gateway/samples/deskgate.schema.json"} <= names
    assert "gateway/examples/salesforce/deskgate.toml" in names


def copied() -> Iterator[tuple[str, str]]:
    """Yield source and target of each file or folder that the image is built from."""
    for line in (ROOT / "ops" / "Dockerfile").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            yield from ((source, words[-1]) for source in words[1:-1])


def test_image_gets_the_versions_that_are_tested() -> None:
    """Two locks that drift apart would test one thing and ship another."""

    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+(?:\[\w+\])?==\S+", (ROOT / name).read_text(), re.MULTILINE))

    image, all_of_them = pinned("requirements.txt"), pinned("requirements-dev.txt")
    assert image < all_of_them
    names = {one.partition("==")[0] for one in image}
    assert {"aiohttp", "arq", "tenacity", "structlog", "uvloop", "hatchling"} <= names
    assert not names & {"pytest", "ruff", "mypy", "hypothesis"}
