"""Policies: one a file, their order written here once.

::

    bulkhead ( retry ( attempt timeout ( ask ) ) )

The bulkhead is the lane itself: a worker process runs at most ``concurrency`` of its jobs at a time. Retries
begin only before the deadline; an attempt that runs past it ends by its own timeout, and its answer is late.
"""
