"""What of the tariff language the kernels have: generated worlds use these; the oracle alone is run on all."""

from tests.property.rating_worlds import FEATURES

LANDED = FEATURES
