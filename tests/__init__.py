"""Every test: unit, property, integration and acceptance tests, and the benchmarks."""
