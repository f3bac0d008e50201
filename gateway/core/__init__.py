"""Words and decisions, pure: nothing here opens a socket, awaits, or reads a clock."""
