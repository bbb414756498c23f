"""What a usage that cannot be priced might be worth. An estimate, and called so wherever it is shown."""

from fractions import Fraction

import numpy as np

from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT, I64

_SCALE = 1 << 20  # prices of an octet are far below a nano-unit


def estimate_nanos(service: I64, quantity: I64, tariffs: Tariffs) -> I64:
    """Quantity times the average first-slot price of the service's rates over all plans and versions.

    service, quantity (n,) int64, ABSENT where unknown. Returns (n,) int64 nanos, ABSENT where nothing can be said.
    Connect fees, bands and allowances are left out, and so is the currency.
    """
    prices = average_prices(tariffs)
    estimate = np.full(service.shape, ABSENT, np.int64)
    for code, price in prices.items():
        scaled = int(price * _SCALE)
        rows = np.flatnonzero((service == code) & (quantity >= 0))
        most = (1 << 62) // max(scaled, 1)
        estimate[rows] = np.minimum(quantity[rows], most) * scaled // _SCALE
    return estimate


def average_prices(tariffs: Tariffs) -> dict[int, Fraction]:
    """Nanos per unit by service: the plain mean over the prices in the files."""
    found: dict[int, list[Fraction]] = {}
    for version in tariffs.versions:
        for plan in version.plans.values():
            for rule in plan.prices:
                for name in rule.rates.values():
                    slot = version.rates[name].slots[0]
                    found.setdefault(int(rule.scope.services[0]), []).append(Fraction(slot.price_nanos, slot.per))
    return {code: sum(prices, Fraction(0)) / len(prices) for code, prices in sorted(found.items())}
