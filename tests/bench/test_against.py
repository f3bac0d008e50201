"""Two checkouts compared: each runs its own code, with its own interpreter."""

import sys
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from tests.bench.__main__ import main
from tests.bench.against import python_of
from tests.bench.contestants import OURS
from tests.bench.stage import Stage


def test_other_checkout_writes_its_own_configuration(tmp_path: Path) -> None:
    """A setting may be newer than the other checkout. This one's code there would compare it with itself."""
    package = tmp_path / "tests" / "bench"
    package.mkdir(parents=True)
    for regular in (package, package.parent):
        (regular / "__init__.py").touch()
    (package / "configuration.py").write_text("def configuration(url, prefix): return 'theirs ' + prefix")
    other = replace(OURS, database=8, root=tmp_path)
    with Stage() as stage:
        worker, caller = other.commands(stage)
        assert (stage.directory / "bench8.toml").read_text() == "theirs bench8\n"
    assert worker[0] == caller[0] == sys.executable


def test_checkout_without_an_interpreter_is_refused_with_a_hint(tmp_path: Path) -> None:
    """A fresh worktree has no .venv yet."""
    result = CliRunner().invoke(main, ["--against", str(tmp_path)])
    assert result.exit_code == 2
    assert "make check" in result.output


def test_other_parts_are_not_compared(tmp_path: Path) -> None:
    """Better to refuse than to measure less than was asked for."""
    python = python_of(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()
    result = CliRunner().invoke(main, ["--against", str(tmp_path), "--part", "callbacks"])
    assert result.exit_code == 2
    assert "hand-off alone" in result.output
