"""Real parts for every test: a Valkey per test process, keys of its own per test, the flaky CRM."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from gateway.crm.server import Crm
from gateway.tools.processes import Valkey
from tests.desk import Desk, Place

# How long an example takes is the machine's business; each test has a time limit of its own.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """A Valkey for the tests that leave it running."""
    with Valkey() as valkey:
        yield valkey


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A Valkey for one test alone, to kill, to stop and to start again."""
    with Valkey() as valkey:
        yield valkey


@pytest_asyncio.fixture
async def crm() -> AsyncIterator[Crm]:
    """The flaky CRM, healthy and prompt until a test puts a script."""
    async with Crm() as crm:
        yield crm


@pytest.fixture
def place(shared_valkey: Valkey, crm: Crm) -> Place:
    """Where this test's parts live: keys of its own on the shared Valkey."""
    return Place(shared_valkey.url, f"t{uuid4().hex[:12]}", crm.url)


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    """Desk; a gateway is chosen with ``desk.at``."""
    async with aiohttp.ClientSession() as http:
        yield Desk(http)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was left out on this machine, and what it takes."""
    skipped = {str(report.longrepr[2]) for report in terminalreporter.getreports("skipped")}
    for reason in sorted(skipped):
        terminalreporter.write_line(f"left out: {reason.removeprefix('Skipped: ')}")
