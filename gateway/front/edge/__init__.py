"""HTTP in: the ports of a gateway process, from the socket to the callback."""
