"""``deskgate status``: how a deployment stands."""
