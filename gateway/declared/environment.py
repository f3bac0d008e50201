"""The process's environment, and the files that secrets are in: no other file reads them."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_ISREG

CONFIG_VARIABLE = "DESKGATE_CONFIG"
LANE_VARIABLE = "DESKGATE_LANE"
LOG_FORMAT_VARIABLE = "DESKGATE_LOG_FORMAT"

FILE = "file:"
"""What a name begins with that is not a variable's, but a file's: ``${file:/run/secrets/crm}``."""

LARGEST_SECRET = 65_536
"""Most bytes of a file with a secret."""


class Environment(Mapping[str, str]):
    """The variables of the environment, and files under their names with ``file:`` before them.

    ``files`` are those that were read, each with the digest of its content. A file that cannot be read raises
    :class:`UnreadableSecret`.
    """

    def __init__(self) -> None:
        """Read nothing yet."""
        self.files: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Return a variable, or the text of a file without the newline at its end."""
        if not name.startswith(FILE):
            return os.environ[name]
        path = name.removeprefix(FILE)
        self.files[path] = ""
        content = read_secret(path)
        self.files[path] = digest_of(content)
        return _text(path, content)

    def __iter__(self) -> Iterator[str]:
        """Return the names of the variables."""
        return iter(os.environ)

    def __len__(self) -> int:
        """Return the number of the variables."""
        return len(os.environ)


class UnreadableSecret(KeyError):
    """A file with a secret cannot be used. ``reason`` says why, without anything of its content."""

    def __init__(self, path: str, reason: str) -> None:
        """Take the path, and the reason."""
        super().__init__(path)
        self.reason = f"the file {path} {reason}"


def read_secret(path: str) -> bytes:
    """Return the content of a file; raise UnreadableSecret."""
    try:
        if not S_ISREG(Path(path).stat().st_mode):  # a pipe may have nothing to read for ever
            raise UnreadableSecret(path, "is no regular file")
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_SECRET + 1)
    except OSError as error:
        raise UnreadableSecret(path, f"cannot be read: {error.strerror or type(error).__name__}") from None
    except ValueError:
        raise UnreadableSecret(path, "is no path") from None
    if len(content) > LARGEST_SECRET:
        raise UnreadableSecret(path, f"is over {LARGEST_SECRET} bytes")
    return content


def digest_of(content: bytes) -> str:
    """Return what tells this content of a file from another: the first digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:12]


def _text(path: str, content: bytes) -> str:
    """Return the text of a file without the newline at its end."""
    try:
        text = content.decode()
    except ValueError:
        raise UnreadableSecret(path, "is not UTF-8") from None
    return text[:-1].removesuffix("\r") if text.endswith("\n") else text


def environment(name: str) -> str | None:
    """Return a variable of the process's environment, None if it is absent or empty."""
    return os.environ.get(name) or None


def wish_for_colors() -> bool | None:
    """Return whether output shall have colours (no-color.org, force-color.org); None if nothing is said."""
    if environment("NO_COLOR") or environment("TERM") == "dumb":
        return False
    return True if environment("FORCE_COLOR") else None


def child_environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a child process: this process's own, and the variables that are added."""
    return {**os.environ, **added}
