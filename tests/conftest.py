"""Generated tests try the same examples everywhere, so that what one machine finds is there for whoever looks next.

TARIFA_EXAMPLES=N tries others each time, at least N for each test: the search for what the usual ones do not reach.
"""

import os

import pytest
from hypothesis import settings

MANY = int(os.environ.get("TARIFA_EXAMPLES", "0"))

settings.register_profile("the same everywhere", derandomize=not MANY, database=None)
settings.load_profile("the same everywhere")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not MANY:
        return
    for item in items:
        test = getattr(item, "function", None)
        given = getattr(test, "_hypothesis_internal_use_settings", None)
        if given is not None:
            test._hypothesis_internal_use_settings = settings(  # type: ignore[union-attr]
                given, max_examples=max(MANY, given.max_examples), derandomize=False)
