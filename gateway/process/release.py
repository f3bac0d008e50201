"""The release of deskgate that runs."""

from importlib.metadata import version

RELEASE = version("deskgate")
"""Its version, as the package has it."""
