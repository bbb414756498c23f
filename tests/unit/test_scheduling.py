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


def test_where_the_system_cannot_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_SCHED_SETATTR", {})
    assert in_thread(scheduling.wake_soon, scheduling.wait_for_others) == [False, False]
