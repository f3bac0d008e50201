"""``deskgate gateway --processes``: several gateways on one address, started, watched and replaced.

Each is a ``deskgate gateway`` of its own. This process opens the listening sockets, hands each gateway a
pair, and keeps them open: a gateway that replaces another one has the same pair. The kernel spreads the
connections over the pairs (SO_REUSEPORT). If a gateway dies, its pair is closed, so that the others get all
connections; its successor has a new pair, which listens when it serves. The gateways speak to this process
as they would to systemd.
"""
