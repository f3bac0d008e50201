"""HTTP in: the ports of a gateway process, and what stands between a socket and a callback."""
