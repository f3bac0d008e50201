"""The settings of a backend that matter to its policies."""

from gateway.declared.backend import Backend
from gateway.declared.values import Duration


def limits(attempts: int, attempt_timeout: float) -> Backend:
    """Return the settings of a backend that is asked so often, each time for so many seconds at most."""
    return Backend(url="http://crm", attempts=attempts, attempt_timeout=Duration(attempt_timeout))
