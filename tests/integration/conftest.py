"""Days of the sample operator, written once a session: tests take copies and change those."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.controls import run_controls
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.sql import asking
from pipelines.sample.generate import generate
from tests.worked_home import WorkedHome

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


@pytest.fixture(scope="session")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkedHome]:
    """A served home for cases that are worked by hand; each has accounts of its own. Whatever they did, laws hold."""
    home = WorkedHome(tmp_path_factory.mktemp("worked"))
    yield home
    home.served.stop()
    with asking(Ledger.open(home.home.ledger)) as connection:
        assert {outcome.control.name for outcome in run_controls(connection) if outcome.red} == set()
