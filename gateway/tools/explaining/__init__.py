"""``deskgate explain``: why each variable of a session had its value."""
