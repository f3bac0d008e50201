"""``deskgate gateway --processes``: several gateways on one address, started, watched and replaced.

Each is a ``deskgate gateway`` of its own. This process opens the listening sockets, hands each gateway a
pair, and keeps them open: a connection that comes while a gateway is replaced waits in its socket. The kernel
spreads the connections over the pairs (SO_REUSEPORT). The gateways speak to this process as they would to
systemd.
"""
