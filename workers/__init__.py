"""Workers: they take lookups from the lanes and ask the backends.

``deskgate worker`` runs them. For people who know arq, ``arq workers.WorkerSettings`` runs them as well: it
takes longer to pick up a job, and does the same otherwise. The settings are made when arq asks for them, from
``DESKGATE_CONFIG`` and ``DESKGATE_LANE``.
"""

from typing import Any


def __getattr__(name: str) -> dict[str, Any]:
    """Return ``WorkerSettings`` on demand, so that importing the package needs no configuration."""
    if name != "WorkerSettings":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from workers.settings import worker_settings  # noqa: PLC0415 - see above

    return worker_settings()
