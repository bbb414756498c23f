"""The rooms have plain names; make sure that it is ours that are imported."""

import importlib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("room", ["schemas", "reference_data", "mediation", "rating", "pipelines"])
def test_each_room_is_the_one_of_this_checkout(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent.parent == CHECKOUT
