"""Asking a backend: one attempt, from a lookup's inputs to its variables or to a :class:`NoAnswer`."""
