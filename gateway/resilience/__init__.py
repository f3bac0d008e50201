"""Policies: one a file, each behind the seam of ``policy.py``; ``stack.py`` has their order."""
