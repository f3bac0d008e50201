"""Files that may change: used once they are whole, refused without harm, and told again while it lasts."""

import asyncio
from pathlib import Path

import pytest

from gateway.declared.catalog import Catalog, compile_content
from gateway.declared.environment import digest_of
from gateway.process import following
from gateway.process.config_file import ConfigFile
from gateway.process.following import Followed, follow

pytestmark = pytest.mark.asyncio


class File(Followed):
    """A file whose content a test sets. It takes every content but ``b"bad"``."""

    def __init__(self) -> None:
        """Begin with a content that is in use."""
        self.content: bytes | None = b"first"
        self.used: list[bytes] = []
        self.errors: list[str] = []
        super().__init__(digest_of(b"first"))

    def read(self) -> bytes:
        """Return the content; raise OSError if there is none."""
        if self.content is None:
            raise FileNotFoundError(2, "No such file")
        return self.content

    async def use(self, content: bytes) -> None:
        """Note a content; raise ValueError for a bad one."""
        if content == b"bad":
            msg = "bad"
            raise ValueError(msg)
        self.used.append(content)

    def refuse(self, error: Exception) -> None:
        """Note an error."""
        self.errors.append(type(error).__name__)

    async def looks(self, count: int = 1) -> None:
        """Look so often."""
        for _ in range(count):
            await self.look(asked=False)


async def test_content_that_does_not_change_is_left_alone() -> None:
    """A reload costs connections."""
    file = File()
    await file.looks(3)
    assert (file.used, file.errors) == ([], [])


async def test_content_is_used_when_two_looks_have_found_the_same() -> None:
    """The first half of a file may be a sound configuration with half of the lookups."""
    file = File()
    for content in (b"fi", b"first and sec", b"first and second"):
        file.content = content
        await file.looks()
    assert file.used == []
    await file.looks(3)
    assert file.used == [b"first and second"]


async def test_content_is_used_at_once_when_the_operator_asks() -> None:
    """An operator who sends a signal has written the file whole."""
    file = File()
    file.content = b"second"
    await file.look(asked=True)
    assert file.used == [b"second"]
    await file.looks(3)
    assert file.used == [b"second"]


@pytest.mark.parametrize(("content", "error"), [(b"bad", "ValueError"), (None, "FileNotFoundError")])
async def test_bad_content_is_told_once_and_again_while_it_lasts(
    content: bytes | None, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line at once, one a minute later; neither silence nor a line every two seconds."""
    file = File()
    file.content = content
    await file.looks(5)
    assert (file.used, file.errors) == ([], [error])
    monkeypatch.setattr(following, "TELL_EVERY", 0.0)
    await file.looks()
    assert file.errors == [error] * 2
    monkeypatch.undo()
    file.content = b"third"
    await file.looks(2)
    assert file.used == [b"third"]


@pytest.mark.parametrize("content", [b"bad", None])
async def test_content_that_comes_back_in_the_place_of_a_bad_one_is_used_once_more(
    content: bytes | None,
) -> None:
    """Else nobody would hear that the file is well again."""
    file = File()
    file.content = content
    await file.looks(2)
    file.content = b"first"
    await file.looks(4)
    assert (file.used, len(file.errors)) == ([b"first"], 1)


async def test_file_that_is_away_for_a_moment_is_not_reported() -> None:
    """Some editors remove a file before they write it anew."""
    file = File()
    file.content = None
    await file.looks()
    file.content = b"first"
    await file.looks(3)
    assert (file.used, file.errors) == ([], [])


async def test_operator_who_asks_is_answered_each_time() -> None:
    """A second signal shows if the fault is still there."""
    file = File()
    file.content = b"bad"
    await file.look(asked=True)
    await file.look(asked=True)
    assert file.errors == ["ValueError"] * 2


async def test_files_are_looked_at_when_asked() -> None:
    """It need not wait for the next look."""
    file, asked = File(), asyncio.Event()
    file.content = b"second"
    task = asyncio.create_task(follow([file], asked))
    asked.set()
    while not file.used:  # noqa: ASYNC110 - a thread reads it
        await asyncio.sleep(0)
    assert not asked.is_set()
    task.cancel()


async def test_configuration_is_read_again_when_a_file_of_its_secrets_changes(tmp_path: Path) -> None:
    """Kubernetes swaps a link; the configuration itself stays as it is."""
    config, one, two = tmp_path / "deskgate.toml", tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.write_text(path.name)
    config.write_text(f'redis.prefix = "${{file:{one}}}"')
    file = ConfigFile(config, compile_content)
    used: list[str] = []

    async def swap(catalog: Catalog) -> None:
        used.append(str(catalog.settings.redis.prefix))

    file.on_change(swap)
    await file.look(asked=False)
    one.write_text("renewed")
    for _ in range(3):
        await file.look(asked=False)
    assert used == ["renewed"]
    config.write_text(f'redis.prefix = "${{file:{two}}}"')
    for _ in range(4):
        await file.look(asked=False)
    assert used == ["renewed", "two"]
    two.write_text("three")

    async def swap_while_it_changes(catalog: Catalog) -> None:
        used.append(str(catalog.settings.redis.prefix))
        two.write_text("four")  # after it was read, and before the swap is done

    file.on_change(swap_while_it_changes)
    for _ in range(5):
        await file.look(asked=False)
    assert used == ["renewed", "two", "three", "four"]
    used[:] = ["renewed", "two"]
    two.unlink()
    for _ in range(4):
        await file.look(asked=False)
    assert used == ["renewed", "two"]  # what is there no more changes nothing
