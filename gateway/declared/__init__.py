"""The configuration, cut by noun: what the file declares, what contradicts itself, and what it means."""
