"""An import of balances killed at any moment and made again: the same ledger as one that was not disturbed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.durable import Disk
from pipelines.importing.balances import Request, import_balances
from pipelines.keys import Keys
from pipelines.run import run
from tests.faults.crash_runner import choose_points, run_child
from tests.faults.fault_disk import Script
from tests.faults.whole_run import warm
from tests.integration.hand_made import HandMade

SEED = int(os.environ.get("TARIFA_FAULT_SEED", "1"))
STEPS = {"commands.written", "commands.delivered", "collect.committed", "journal.append.1", "journal.append.2",
         "charge.folded", "ledger.commit.2.2", "snapshot.2"}
BALANCES = """account_id,kind,name,amount,currency
1,money,,7.25,EUR
2,money,,1.50,EUR
2,bucket,minutes,1200,
TOTAL,money,,EUR,2,8.75
TOTAL,bucket,minutes,,1,1200
"""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The keys of every home, so that tokens agree."""
    Keys.open(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture(scope="module")
def warmed() -> Iterator[None]:
    with warm():
        yield


def made(folder: Path, keys: Path) -> HandMade:
    site = HandMade(folder, keys)
    for account in site.reference.accounts:
        account["opening_balance"] = "0"
    site.reference.write(site.input.operator)
    (site.input.root / "balances.csv").write_text(BALANCES)
    return site


def imported(site: HandMade, again: str = "import") -> Any:
    def job(disk: Disk) -> dict[str, str]:
        if again == "import":
            import_balances(site.input, site.home, Request(site.input.root / "balances.csv", "2026-10-20"), disk=disk)
        else:
            run(site.input, site.home, disk=disk)
        return site.said()
    return job


def killed(folder: Path, keys: Path, count: int) -> None:
    straight = run_child(imported(made(folder / "straight", keys)))
    assert not straight.error, straight.error
    assert set(straight.events) >= STEPS
    for at in choose_points(straight.events, count, SEED):
        site = made(folder / str(at), keys)
        told = f"seed {SEED}, killed at event {at}, {straight.events[at - 1]}"
        assert run_child(imported(site), Script(at, "kill", seed=SEED + at)).killed, told
        delivered = straight.events.index("commands.delivered") + 1
        # Once it was delivered, any run goes on with it; before that, nothing of it is there.
        again = run_child(imported(site, "run" if at > delivered and at % 2 else "import"))
        assert not again.error, f"{told}: {again.error}"
        assert again.result == straight.result, told


def test_an_import_killed_and_made_again_is_as_one_that_was_not(warmed: None, keys: Path, tmp_path: Path) -> None:
    killed(tmp_path, keys, 6)


@pytest.mark.slow
def test_an_import_killed_at_every_step(warmed: None, keys: Path, tmp_path: Path) -> None:
    killed(tmp_path, keys, 1000)
