"""What people run beside gateways and workers: a call by hand, a demo, everything on one machine."""
