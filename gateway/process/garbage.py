"""Garbage: CPython's collector, tuned for a process that serves for weeks."""

import gc

_YOUNG = 10_000
"""New containers that start a collection. CPython's default is 700.

Some tens of callbacks under way hold more than 700. A collection would then count them as old.
"""


def tune_collector() -> None:
    """Keep everything built so far out of later collections, and collect less often.

    Call it once, at the end of a process's start.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
