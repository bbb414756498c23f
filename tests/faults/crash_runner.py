"""Runs a job in a forked child under a fault script, and tells how it ended.

The parent has warmed imports and kernels and must have started no threads of its own: a child begins in
milliseconds, may start any, and may die at any point. Jobs return something JSON can carry.
"""

import json
import os
import random
import signal
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.durable import crash_points
from tests.faults.fault_disk import FaultDisk, Script
from tests.faults.platter import Platter

Job = Callable[[FaultDisk], Any]


@dataclass(frozen=True)
class Outcome:
    """How a child ended: `killed`, or with a `result`, or with the `error` it raised (traceback as text)."""

    killed: bool
    result: Any
    error: str
    error_number: int | None
    events: list[str]


def run_child(job: Job, script: Script | None = None, platter: Platter | None = None) -> Outcome:
    """Fork, run `job(disk)` under the script, wait. Raises AssertionError when the child died of something else."""
    script = script or Script()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # pytest-xdist has a thread of its own; the child uses nothing of it.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reading)
        _child(job, FaultDisk(script, platter), writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return Outcome(True, None, "", None, [])
    assert status == 0, f"the child ended with {status}: {told.decode('utf-8', 'replace')}"
    answer = json.loads(told)
    return Outcome(False, answer["result"], answer["error"], answer["error_number"], answer["events"])


def _child(job: Job, disk: FaultDisk, writing: int) -> None:
    status = 1
    # A kill leaves the page cache and the platter stands for the power cut: real syncs would only take time.
    os.fsync = os.fdatasync = lambda handle: None  # type: ignore[assignment]
    try:
        result, error, number = None, "", None
        with crash_points(disk.script.event):
            try:
                result = job(disk)
            except Exception as raised:
                error, number = traceback.format_exc(), getattr(raised, "errno", None)
        answer = {"result": result, "error": error, "error_number": number, "events": disk.script.seen}
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def choose_points(events: Sequence[str], count: int, seed: int) -> list[int]:
    """Numbers of `count` events (all, when there are fewer): one of each name first, the rest at random. Sorted."""
    luck = random.Random(seed)
    places: dict[str, list[int]] = {}
    for number, name in enumerate(events, 1):
        places.setdefault(name, []).append(number)
    firsts = [luck.choice(numbers) for _, numbers in sorted(places.items())]
    luck.shuffle(firsts)
    chosen = set(firsts[:count])
    rest = [n for n in range(1, len(events) + 1) if n not in chosen]
    luck.shuffle(rest)
    chosen.update(rest[:max(0, count - len(chosen))])
    return sorted(chosen)
