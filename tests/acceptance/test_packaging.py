"""What is published holds what belongs there, and the image's lock is a part of the developers'."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.desk import ROOT

pytestmark = pytest.mark.timeout(60)

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


def test_image_gets_the_versions_that_are_tested() -> None:
    """Two locks that drift apart would test one thing and ship another."""

    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+(?:\[\w+\])?==\S+", (ROOT / name).read_text(), re.MULTILINE))

    image, all_of_them = pinned("requirements.txt"), pinned("requirements-dev.txt")
    assert image < all_of_them
    names = {one.partition("==")[0] for one in image}
    assert {"aiohttp", "arq", "tenacity", "structlog", "uvloop", "hatchling"} <= names
    assert not names & {"pytest", "ruff", "mypy", "hypothesis"}
