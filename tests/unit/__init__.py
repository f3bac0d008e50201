"""Decisions alone: no socket, no process, no waiting."""
