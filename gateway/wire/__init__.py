"""Redis: the connection, what is sent over it, and every key."""
