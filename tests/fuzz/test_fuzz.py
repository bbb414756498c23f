"""A few thousand damaged messages for `tarifa serve`; `make fuzz` goes through millions."""

import pytest

from tests.fuzz.__main__ import main


@pytest.mark.slow
def test_damaged_messages_neither_stop_nor_break_a_node_that_serves() -> None:
    assert main(20_000, 3) == 0
