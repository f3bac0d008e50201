"""A storm: ``make storm``. The gateway's promise under faults, beside what people would build instead.

A seeded workload of sessions is played against three contestants, one after the other, each with a CRM and a
Redis of its own that fail in the same way; every reply is judged by what the CRM knows. A benchmark, never a
timed test.
"""
