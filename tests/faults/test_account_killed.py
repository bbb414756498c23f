"""Commands on accounts, sent one by one, killed at any moment and sent again: as if nothing had happened."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.accounts.desk import HomeDesk
from pipelines.durable import Disk
from pipelines.keys import Keys
from pipelines.run import run
from tests.faults.crash_runner import choose_points, run_child
from tests.faults.fault_disk import Script
from tests.faults.whole_run import warm
from tests.integration.hand_made import ANNA, HandMade, call, top_up
from tests.integration.site import SAID

SEED = int(os.environ.get("TARIFA_FAULT_SEED", "1"))
STEPS = {"journal.append.1", "journal.append.2", "charge.folded", "ledger.commit.2.2", "snapshot.2"}
NEW, CARLA = "999700000077", "999700000088"
COMMANDS: list[dict[str, Any]] = [
    {**top_up(1, "08:00"), "kind": "number_change", "msisdn": ANNA[1], "new_msisdn": NEW},
    {**top_up(2, "08:01", account_id=7), "kind": "account_create", "plan": "prepaid-basic", "time_zone": "UTC"},
    {**top_up(3, "08:02", account_id=7), "kind": "service_add", "service_id": 70, "new_msisdn": CARLA},
    top_up(4, "08:03", "5.00", 7), {**top_up(5, "08:04", "1.00", 7), "currency": "XXX"}]


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
    calls = "".join(call(n, at, who) for n, (at, who) in enumerate((
        ("07:50", ANNA[1]), ("08:10", ANNA[1]), ("08:10", NEW), ("08:10", CARLA))))
    site.calls(1, "090000", (), lines=calls)
    return site


def sent(site: HandMade) -> Any:
    """Send them all, in order, whatever was sent before; then a run. Outcomes, and what the ledger says then."""
    def job(disk: Disk) -> dict[str, Any]:
        with HomeDesk(site.input, site.home, disk) as desk:
            outcomes = ["refused" if desk.send(each).status == "refused" else "carried out" for each in COMMANDS]
        run(site.input, site.home, disk=disk)
        return {"outcomes": outcomes, **site.said(tables=(*SAID, "identity_change", "account_state"))}
    return job


def killed(folder: Path, keys: Path, count: int) -> None:
    straight = run_child(sent(made(folder / "straight", keys)))
    assert not straight.error, straight.error
    assert straight.result["outcomes"] == ["carried out"] * 4 + ["refused"]
    assert set(straight.events) >= STEPS
    for at in choose_points(straight.events, count, SEED):
        site = made(folder / str(at), keys)
        told = f"seed {SEED}, killed at event {at}, {straight.events[at - 1]}"
        assert run_child(sent(site), Script(at, "kill", seed=SEED + at)).killed, told
        again = run_child(sent(site))
        assert not again.error, f"{told}: {again.error}"
        assert again.result == straight.result, told


def test_commands_killed_and_sent_again_are_as_ones_that_were_not(warmed: None, keys: Path, tmp_path: Path) -> None:
    killed(tmp_path, keys, 10)


@pytest.mark.slow
def test_commands_killed_at_every_step(warmed: None, keys: Path, tmp_path: Path) -> None:
    killed(tmp_path, keys, 1000)
