"""A fictional operator and what its network writes: input for demo, tests and benchmarks."""
