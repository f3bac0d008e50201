"""The fault table: what a backend may do wrong, played by real servers to a real worker."""
