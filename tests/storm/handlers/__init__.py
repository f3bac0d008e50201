"""The other contestants: handlers as people would write them without deskgate."""
