"""``deskgate demo``: all of deskgate on this machine, and a story that it plays."""
