"""The machine of a run: without it, figures say nothing."""

import os
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from gateway.tools.processes import _binary
from tests.bench.stage import ROOT

Machine = Mapping[str, str]
"""Names and values, to be printed."""

_PACKAGES = ("aiohttp", "arq", "redis", "hiredis", "msgspec", "structlog", "uvloop")


def describe(command: str, arguments: Sequence[str]) -> Machine:
    """Return what there is to know of this machine and of a run of ``python -m`` with this command line."""
    said = subprocess.run([_binary(), "--version"], check=True, capture_output=True, text=True).stdout
    server = dict(word.partition("=")[::2] for word in said.split())
    return {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Command": shlex.join(["python", "-m", command, *arguments]),
        "Machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "Load before the run": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "Code": commit(ROOT),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Server": f"Valkey {server.get('v', '?')}",
        "Packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def commit(root: Path) -> str:
    """Return the commit of a checkout, ``-dirty`` with changes that are in none."""
    with suppress(OSError, subprocess.CalledProcessError):
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
        return _git(root, "rev-parse", "--short", "HEAD") + ("-dirty" if changes else "")
    return "not under git"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout.strip()
