"""Benchmarks: ``make bench``. Ratios within one run on one machine, never a timed test."""
