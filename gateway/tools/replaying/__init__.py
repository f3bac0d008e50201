"""``deskgate replay``: recorded callbacks, put to another configuration."""
