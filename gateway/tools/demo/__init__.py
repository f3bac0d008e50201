"""``deskgate demo``: the whole of it on this machine, and a story told with it."""
