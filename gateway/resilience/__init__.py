"""Policies: one a file, their order written here once.

::

    bulkhead ( retry ( attempt timeout ( ask ) ) )

A worker's bulkhead is the lane itself: its process runs at most ``concurrency`` of its jobs at a time. A
gateway that asks by itself has no lane, and needs one (``bulkhead.py``). Retries begin only before the
deadline; an attempt that runs past it ends by its own timeout, and its answer is late.
"""
