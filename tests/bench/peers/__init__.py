"""Peers: deskgate's hand-off is measured against them. Each module runs in a virtualenv of its own.

A module is run as ``python -m tests.bench.peers.NAME worker URL`` and ``… caller URL``: its job does nothing.
"""
