"""Forgetting a session or a user: in Redis, and in the memory of every gateway."""
