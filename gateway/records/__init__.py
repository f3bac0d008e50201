"""The answers that this process has seen, kept in memory."""
