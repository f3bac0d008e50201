"""The peers, each in a virtualenv of its own below ``build/bench``."""

import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.stage import ROOT

PEERS = Path(__file__).with_name("peers.toml")
PLACE = ROOT / "build" / "bench"


def install() -> dict[str, Path | str]:
    """Return, for each peer, its interpreter, or why it cannot be had."""
    wanted: dict[str, list[str]] = tomllib.loads(PEERS.read_text(encoding="utf-8"))
    with ThreadPoolExecutor() as pool:
        return dict(zip(wanted, pool.map(_install, wanted, wanted.values()), strict=True))


def _install(name: str, requirements: list[str]) -> Path | str:
    """Make the virtualenv when it is not there or not what is wanted."""
    place = PLACE / name
    python, stamp = place / "bin" / "python", place / "installed"
    wanted = "\n".join([sys.version, *requirements])
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(place)])
        _run([str(python), "-m", "pip", "install", "--disable-pip-version-check", "-qq", *requirements])
    except subprocess.CalledProcessError as error:
        said: list[str] = error.stdout.strip().splitlines()
        return said[-1] if said else f"exit code {error.returncode}"
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
