"""The number of files that this process may have open."""

import resource


def raise_limit() -> int:
    """Raise the limit on open files as far as this process may; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS says that there is no limit, and takes none
        return soft
    return hard
