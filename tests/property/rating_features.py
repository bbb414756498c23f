"""What of the tariff language the kernels have: generated worlds use these; the oracle alone is run on all."""

LANDED = frozenset((
    "minimum_quantity", "maximum", "flat", "free_quantity", "straddling", "report", "day", "counters", "over", "volume",
    "services", "discounts", "happy", "friends", "network", "category", "calling", "valid", "dates", "classes",
    "segment", "exchange", "fallback", "plans", "legs"))
