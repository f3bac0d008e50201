"""A simulation of deployments larger than a machine: where the next limit lies."""
