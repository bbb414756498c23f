"""What ticks did, put together: the same rows in the same order, however many pieces they lie in."""

import random

import numpy as np
import pytest

from pipelines.charging.folded import TABLES, Folded
from pipelines.serve import gathered
from pipelines.serve.gathered import GatheredTables
from rating.charging import Charged
from schemas.columns import Cells
from schemas.online import GRANT


def rows(draw: random.Random, columns: object, most: int) -> Cells:
    cells = Cells.empty(columns, draw.randrange(most))  # type: ignore[arg-type]
    cells.matrix[:] = np.random.default_rng(draw.randrange(1 << 30)).integers(0, 1 << 40, cells.matrix.shape)
    return cells


@pytest.mark.parametrize("seed", range(8))
def test_rows_are_those_of_the_ticks_in_their_order(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered, "_ROWS", 20)
    draw, together, apart = random.Random(seed), GatheredTables(), Folded()
    for tick in range(30):
        one = Folded()
        one.add(Charged(**{name: rows(draw, columns, 40) for name, columns in TABLES[:-1]}))
        one.add_grants(rows(draw, GRANT, 7))
        if draw.random() < 0.3:
            one.add_command(tick, b"%d" % tick)
        together.add(one)
        apart.add_all(one)
    assert together.rows == apart.rows and together.commands == apart.commands
    for name, cells in apart.tables().items():
        assert (together.tables()[name].matrix == cells.matrix).all(), name
        assert sum(map(len, together.by_table().get(name, ()))) == len(cells)
