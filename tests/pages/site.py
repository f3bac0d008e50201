"""``make docs``: the documents as a site, with every link checked (Zensical, by Material's authors)."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.desk import ROOT

SOURCE = ROOT / "build" / "site" / "source"
_PARTS = (
    "*.md",
    "docs/*",
    "ops/*.md",
    "ops/*/*",
    "ops/*.toml",
    "examples/*/*.toml",
    "LICENSE",
    "docker-compose.yml",
)


def gather(source: Path) -> None:
    """Put the documents, and the files that they lead to, into a folder as they lie in the project."""
    shutil.rmtree(source, ignore_errors=True)
    for pattern in _PARTS:
        for file in ROOT.glob(pattern):
            if file.is_file():
                place = source / file.relative_to(ROOT)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)


def build() -> int:
    """Build the site; return the exit code, which is not 0 if a link leads nowhere."""
    gather(SOURCE)
    program = Path(sys.executable).parent / "zensical"
    command = [str(program), "build", "--strict", "--clean", "-f", str(ROOT / "mkdocs.yml")]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    code = build()
    if not code:
        sys.stdout.write("written: build/site/html/index.html\n")
    sys.exit(code)
