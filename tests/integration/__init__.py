"""A part with its real neighbours: a real Valkey, real HTTP."""
