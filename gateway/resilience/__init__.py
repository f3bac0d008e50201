"""Policies: each in a file, behind the seam of ``policy.py``. ``stack.py`` has their order."""
