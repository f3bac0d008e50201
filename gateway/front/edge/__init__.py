"""HTTP in: the ports of a gateway process, and all that lies between a socket and a callback."""
