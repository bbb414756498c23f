"""Whose turn it is: what a thread asks for holds for itself, and never fails."""

import os
import sys
import threading
from collections.abc import Callable

import pytest

from pipelines.serve import scheduling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the system has no such turns")


def in_thread(*steps: Callable[[], object]) -> list[object]:
    found = list[object]()
    thread = threading.Thread(target=lambda: found.extend(step() for step in steps))
    thread.start()
    thread.join()
    return found


def test_who_waits_for_others_is_nicer_and_gives_way() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    done, policy, nice = in_thread(lambda: scheduling.wait_for_others(3), lambda: os.sched_getscheduler(0),
                                   lambda: os.getpriority(os.PRIO_PROCESS, 0))
    assert done and policy == os.SCHED_BATCH and nice == min(before + 3, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before  # nobody else's


def test_short_turns_need_no_rights_and_are_no_priority() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    done, policy, nice = in_thread(scheduling.wake_soon, lambda: os.sched_getscheduler(0),
                                   lambda: os.getpriority(os.PRIO_PROCESS, 0))
    assert done and policy == os.SCHED_OTHER and nice == before


def test_who_runs_when_nobody_else_wants_to_takes_no_ones_turn_and_may_be_hurried() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    done, policy, hurried, after, nice = in_thread(
        scheduling.when_nobody_else, lambda: os.sched_getscheduler(0),
        lambda: scheduling.hurry(threading.get_native_id()), lambda: os.sched_getscheduler(0),
        lambda: os.getpriority(os.PRIO_PROCESS, 0))
    assert done and policy == os.SCHED_IDLE
    # Back it may not be let, without rights.
    assert (after, nice) == ((os.SCHED_OTHER, 19) if hurried else (os.SCHED_IDLE, before))
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_who_begins_others_may_have_short_turns_alone() -> None:
    done, usual, policy = in_thread(scheduling.wake_soon, scheduling.as_usual, lambda: os.sched_getscheduler(0))
    assert done and usual and policy == os.SCHED_OTHER


def test_where_the_system_cannot_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_SCHED_SETATTR", {})
    assert in_thread(scheduling.wake_soon, scheduling.as_usual, lambda: scheduling.wait_for_others(3),
                     scheduling.when_nobody_else) == [False] * 4
