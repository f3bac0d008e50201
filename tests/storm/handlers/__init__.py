"""What people would write without deskgate: the other contestants."""
