"""One gateway process: from a callback to its reply. Only the command line and the tools import this."""
