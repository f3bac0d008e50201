"""Tools beside gateways and workers: a callback sent by hand, a demo, everything on one machine."""
