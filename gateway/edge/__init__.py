"""HTTP in: the ports of a process, from the socket to a request that is read."""
