"""Stop a job at numbered points, start it again, and hold what it then says against an undisturbed one.

Points are the durable operations and crash points of an undisturbed job, in order. A seed picks among them, at least
one of each name; failures print it.
"""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.durable import Disk
from tests.faults.crash_runner import choose_points, run_child
from tests.faults.fault_disk import Script
from tests.faults.platter import Platter

SEED = int(os.environ.get("TARIFA_FAULT_SEED", "1"))


class Place(Protocol):
    """Where a job is done: homes are independent of each other and begin the same."""

    platter: Platter | None

    def job(self, disk: Disk) -> Any:
        """Do what is left to do; return what there is then. Raises AssertionError when it does not hold together."""

    def stopped(self, at: int) -> None:
        """The job was stopped at event `at`: choose among the ways in which an operator may go on."""


@dataclass(frozen=True)
class Ordeal:
    """make_place: a place in this new folder; with a platter, if told so. expected, events: of an undisturbed job."""

    make_place: Callable[[Path, bool], Place]
    expected: Any
    events: list[str]

    @classmethod
    def of(cls, make_place: Callable[[Path, bool], Place], folder: Path) -> "Ordeal":
        outcome = run_child(make_place(folder, False).job)
        assert not outcome.error, outcome.error
        return cls(make_place, outcome.result, outcome.events)

    def chosen(self, count: int, seed: int, shard: int = 0, of: int = 1) -> list[int]:
        return choose_points(self.events, count, seed)[shard::of]

    def killed(self, folder: Path, points: Sequence[int], sure: bool = True) -> int:
        """SIGKILL at each of these events. sure: threads do not change which event it is. Returns kills."""
        kills = 0
        for at in points:
            place = self.make_place(folder / str(at), False)
            told = f"seed {SEED}, killed at event {at}, {self.events[at - 1]}"
            stopped = run_child(place.job, Script(at, "kill", seed=SEED + at))
            assert stopped.killed or not sure, told
            kills += stopped.killed
            self.resumed(place, folder / str(at), at, told)
        return kills

    def power_lost(self, folder: Path, points: Sequence[int], sure: bool = True) -> int:
        """As `killed`, and of what was not synced nothing or only a part survives."""
        kills = 0
        for at in points:
            place = self.make_place(folder / str(at), True)
            assert place.platter is not None
            told = f"seed {SEED}, power lost at event {at}, {self.events[at - 1]}"
            stopped = run_child(place.job, Script(at, "kill", seed=SEED + at), place.platter)
            assert stopped.killed or not sure, told
            kills += stopped.killed
            place.platter.lose_power(None if at % 2 else SEED + at)
            self.resumed(place, folder / str(at), at, told)
        return kills

    def full(self, folder: Path, points: Sequence[int]) -> None:
        """From each of these events on the disk is full; then there is room again."""
        for at in points:
            place = self.make_place(folder / str(at), False)
            told = f"seed {SEED}, disk full from event {at}, {self.events[at - 1]}"
            stopped = run_child(place.job, Script(at, "full", seed=SEED + at))
            assert stopped.error == "" or os.strerror(errno.ENOSPC) in stopped.error, f"{told}: {stopped.error}"
            self.resumed(place, folder / str(at), at, told)

    def torn(self, folder: Path, names: Sequence[str], seeds: int) -> None:
        """The last entry of journal, vault log or ledger log was written and not synced when the power failed."""
        for name in names:
            places = [n for n, event in enumerate(self.events, 1) if event == name]
            for seed in range(seeds):
                at = places[(SEED + seed * 7) % len(places)]
                place = self.make_place(folder / f"{name}-{seed}", True)
                assert place.platter is not None
                assert run_child(place.job, Script(at, "kill"), place.platter).killed
                place.platter.lose_power(SEED + seed)
                self.resumed(place, folder / f"{name}-{seed}", at, f"seed {SEED + seed}, torn at event {at}, {name}")

    def killed_again(self, folder: Path, first: int, further: Sequence[int]) -> None:
        """Killed at event `first`, and on each further start at the event of that number, if it gets so far."""
        place = self.make_place(folder / str(first), False)
        assert run_child(place.job, Script(first, "kill", seed=first)).killed
        for at in further:
            run_child(place.job, Script(at, "kill", seed=at))
        told = f"seed {SEED}, killed {1 + len(further)} times, first at event {first}"
        self.resumed(place, folder / str(first), first, told)

    def resumed(self, place: Place, folder: Path, at: int, told: str) -> None:
        place.stopped(at)
        again = run_child(place.job, platter=place.platter)
        assert not again.error, f"{told}: {again.error}"
        assert again.result == self.expected, told
        shutil.rmtree(folder)  # what failed stays to be looked at
