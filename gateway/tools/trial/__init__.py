"""``deskgate try``: one lookup asked once, and every step from its inputs to its variables shown."""
