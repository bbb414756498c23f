"""The golden day: files in, ledger out; one expected file for a straight run, a killed one, other batches."""

import json
from pathlib import Path
from typing import Any

import pytest

from mediation.formats.registry import format_names
from pipelines.run import RunOptions, run
from reference_data.streams import load_streams
from tests.faults.crash_runner import choose_points, run_child
from tests.faults.fault_disk import FaultDisk, Script
from tests.faults.whole_run import warm
from tests.golden.make_day import EXPECTED, HERE, day, home, said

KILLS = 3
MAX_OCTETS = 200_000


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(EXPECTED.read_text())
    assert min(found["rows"][table] for table in ("rated", "posting", "suspense", "duplicate", "merged")) > 0
    return found


def job(folder: Path, batch_records: int = 100_000) -> Any:
    """A run of the day in `folder`, which goes on where an earlier one stopped."""
    source = day(folder) if not (folder / "input").exists() else None
    place = home(folder) if source is not None else None

    def go(disk: FaultDisk | None = None, workers: int = 1) -> dict[str, Any]:
        run(source, place, RunOptions(batch_records, workers), disk=disk)  # type: ignore[arg-type]
        return said(place)  # type: ignore[arg-type]
    return go


def test_the_day_is_small_and_has_every_format_that_the_sample_operator_has() -> None:
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < MAX_OCTETS
    streams = load_streams(HERE / "input" / "operator" / "streams.yaml")
    formats = {streams.match(path.name).format for path in (HERE / "input" / "inbox").iterdir()  # type: ignore[union-attr]
               if path.name != "commands"}
    assert formats == {stream.format for stream in streams.streams} <= set(format_names())


@pytest.mark.parametrize(("batch_records", "workers"), [(100_000, 1), (30, 2)])
def test_a_run_says_what_is_expected(tmp_path: Path, expected: dict[str, Any], batch_records: int, workers: int
                                     ) -> None:
    assert job(tmp_path, batch_records)(workers=workers) == expected


def test_a_run_killed_and_resumed_says_what_is_expected(tmp_path: Path, expected: dict[str, Any]) -> None:
    warm()
    straight = run_child(job(tmp_path / "straight", 60))
    assert straight.result == expected, straight.error
    for at in choose_points(straight.events, 200, seed=3)[20::60][:KILLS]:
        go = job(tmp_path / str(at), 60)
        assert run_child(go, Script(at, "kill", seed=at)).killed
        again = run_child(go)
        assert again.result == expected, f"killed at event {at}, {straight.events[at - 1]}: {again.error}"
