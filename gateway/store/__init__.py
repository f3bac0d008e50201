"""Redis: the keys, the connection, the records kept per session, the queue and its replies."""
