"""Everything on one machine: the parts as child processes, for ``deskgate up`` and ``deskgate demo``."""
