"""What of the tariff language the kernels have: generated worlds use these; the oracle alone is run on all."""

LANDED = frozenset((
    "dates", "valid", "exchange", "fallback", "classes", "segment", "network", "category", "calling", "services",
    "happy", "friends", "plans"))
