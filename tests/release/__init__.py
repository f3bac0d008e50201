"""``make release``: what would be published, built, checked, and run where nothing else is."""
