"""A real PostgreSQL for the tests of SQL lookups."""

from collections.abc import Iterator

import pytest

from tests.databases import PostgreSql
from tests.integration.selecting import CUSTOMERS, PROGRAMS, execute


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSql]:
    """A PostgreSQL with the customers."""
    assert PROGRAMS is not None
    with PostgreSql(PROGRAMS) as server:
        execute(server, CUSTOMERS)
        yield server
