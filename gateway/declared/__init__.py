"""The configuration, a noun a file: its table, the contradictions of the table, and its meaning."""
