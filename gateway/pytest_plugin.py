"""The pytest plugin: the fixture ``deskgate``, which makes a Desk of the project's own configuration."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.testing import Desk


def pytest_addoption(parser: pytest.Parser) -> None:
    """Name the setting of pytest that names the configuration."""
    parser.addini("deskgate_config", "The configuration for the fixture deskgate.", default="deskgate.toml")


@pytest.fixture
def deskgate(request: pytest.FixtureRequest) -> "Callable[..., Desk]":
    """Return what makes a Desk: give it the backends by their names, and what else a Desk takes.

    The configuration is ``deskgate_config`` of pytest's own settings, ``deskgate.toml`` if that is not set.
    """
    from gateway.testing import Desk  # noqa: PLC0415 - a suite that does not use it pays nothing

    file = request.config.rootpath / str(request.config.getini("deskgate_config"))

    def make(**given: Any) -> Desk:  # noqa: ANN401 - what a Desk takes
        return Desk(file, **given)

    return make
