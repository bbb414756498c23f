"""When prices change next, as of each request's own time."""


import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rating.changes import TariffChanges
from reference_data.tariffs.compile import Tariffs, load_tariffs
from schemas.timepoint import parse_time
from tests.worked_home import write_operator

NIGHT = parse_time("2026-06-01T20:00:00Z")
MINUTE_US, DAY_US = 60_000_000, 86_400_000_000


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory: pytest.TempPathFactory) -> Tariffs:
    """Bands begin at eight and at twenty, UTC."""
    folder = tmp_path_factory.mktemp("changes") / "operator"
    write_operator(folder)
    return load_tariffs(folder / "tariffs")


@given(blocks=st.lists(st.lists(st.integers(NIGHT - 3 * DAY_US, NIGHT + 3 * DAY_US) | st.integers(
    NIGHT - MINUTE_US, NIGHT + MINUTE_US), max_size=5), max_size=5))
def test_each_time_has_its_own_next_change_whatever_was_asked_before(tariffs: Tariffs, blocks: list[list[int]]) -> None:
    changes = TariffChanges(tariffs)
    for times in blocks:
        half_days = [(each - NIGHT) // (DAY_US // 2) for each in times]
        expected = [NIGHT + (half + 1) * (DAY_US // 2) for half in half_days]
        assert changes.after_each(np.array(times, np.int64)).tolist() == expected
