"""What of the tariff language the kernels have: generated worlds use these; the oracle alone is run on all."""

# What prices are made of: their rated rows say all that explaining them needs.
PRICES = frozenset(("minimum_quantity", "maximum", "flat", "free_quantity", "straddling", "report", "day", "counters",
                    "over", "volume", "discounts", "happy", "tax", "services", "segment", "week"))
LANDED = PRICES | frozenset(("dates", "valid", "exchange", "fallback", "classes", "network", "category", "calling",
                             "friends", "plans"))
