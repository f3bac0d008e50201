"""Garbage: CPython's collector, told how a process that serves for weeks uses memory."""

import gc

_YOUNG = 10_000
"""Containers made and not yet freed that start a collection. Some tens of callbacks under way have more than
CPython's 700: looked at then, these would be taken for old."""


def settle() -> None:
    """Take what a process has built at its start as there to stay, and look for cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
