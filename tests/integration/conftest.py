"""Days of the sample operator, written once a session: tests take copies and change those."""

import datetime
from pathlib import Path

import pytest

from pipelines.keys import Keys
from pipelines.sample.generate import generate

DATE, SEED = datetime.date(2026, 3, 2), 20_260_302


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of every home, so that tokens agree."""
    folder = tmp_path_factory.mktemp("shared") / "keys"
    Keys.open(folder)
    return folder


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All formats, with defects, two files of each element. Not to be changed."""
    folder = tmp_path_factory.mktemp("day") / "input"
    generate(folder, 60, DATE, 1, SEED, files_per_source=2)
    return folder
