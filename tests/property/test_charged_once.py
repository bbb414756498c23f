"""Random sessions, charged online in part, whose CDRs come in random files and batches with restarts between.

Held to an oracle container by container; and where counters agree and nothing is lost, to what was used: every unit is
charged once, online or from the CDR.
"""

from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mediation.mediate import Mediated, Slice
from schemas.codes import Direction, Service
from schemas.columns import ABSENT
from schemas.online import SUCCESS, RequestKind
from tests.oracle.charged_once import ChargedOnce
from tests.small_operator import NOON, SECOND, Node, Reference, partial, piece

MINUTE = 60 * SECOND
DAY_M = 48  # minutes of a world
WAIT_M = 60
GATEWAYS = (1, 2, None)
Row = dict[str, Any]


class World:
    """What was used, minute by minute, and who says so. exact: counters agree, and every CDR comes."""

    def __init__(self, random: Random, exact: bool) -> None:
        self.random, self.exact = random, exact
        self.grants: list[Row] = []
        self.containers: list[Row] = []
        self.used = 0
        self.files_made: list[tuple[list[Row], int]] = []
        sessions = 0
        for charging_id in (70, 71):
            for gateway in random.sample(GATEWAYS[:2], random.randint(1, 2)):
                for group in range(1, random.randint(2, 3)):
                    usage = [random.choice((0, 1, 5, 1000)) for _ in range(DAY_M)]
                    self.used += sum(usage)
                    cuts = self._cuts()
                    sessions = self._online(charging_id, gateway, group, usage, cuts, sessions)
                    self._cdrs(charging_id, gateway, group, usage, cuts if random.random() < 0.4 else self._cuts())
        random.shuffle(self.grants)
        self.grants.sort(key=lambda row: row["at"])
        self.containers.sort(key=lambda row: row["start"] + random.randint(0, 20))

    def _cuts(self) -> list[int]:
        inner = self.random.sample(range(1, DAY_M), self.random.randint(0, 6))
        return sorted({0, DAY_M, *inner})

    def _online(self, charging_id: int, gateway: int, group: int, usage: list[int], cuts: list[int], session: int
                ) -> int:
        """Reports between cuts; where charging was unreachable there is none, and often a new session behind it."""
        random = self.random
        said = None if not self.exact and random.random() < 0.2 else gateway
        identifier = 9 if not self.exact and random.random() < 0.1 else None
        session += 1
        common = {"charging_id": charging_id, "gateway": said, "service_id": 11, "identifier": identifier,
                  "group": None if not self.exact and random.random() < 0.1 else group, "refused": False,
                  "closes": False, "used": None, "since": None}
        begun = False
        last = None
        heard = -1
        for start, stop in pairwise(cuts):
            if random.random() < 0.25:
                if begun and random.random() < 0.5:
                    assert last is not None
                    last["closes"], begun = True, False
                    session += 1
                continue
            if not begun:
                refused = not self.exact and random.random() < 0.1
                self.grants.append(common | {"session": session, "at": start, "initial": True, "refused": refused})
                if refused:
                    session += 1
                    continue
                begun, heard = True, start
            quantity = sum(usage[start:stop])
            # Of nothing used no report says since when; it is since the word before.
            known = quantity or (self.exact and heard != start)
            last = common | {"session": session, "at": stop, "since": start if known else None, "used": quantity}
            self.grants.append(last)
            heard = stop
        if last is not None and begun and (self.exact or random.random() < 0.8):
            last["closes"] = True
        return session

    def _cdrs(self, charging_id: int, gateway: int, group: int, usage: list[int], cuts: list[int]) -> None:
        random = self.random
        for start, stop in pairwise(cuts):
            quantity = sum(usage[start:stop])
            if not self.exact:
                quantity = max(0, quantity + random.choice((0, 0, 0, 7, -7)))
                if random.random() < 0.1:
                    continue
            self.containers.append({
                "charging_id": charging_id, "gateway": None if not self.exact and random.random() < 0.1 else gateway,
                "service_id": 11, "group": group, "identifier": random.choice((None, 9)) if not self.exact else None,
                "start": start, "end": stop, "quantity": quantity, "opened": start,
                "number": len(self.containers) + 1})

    def files(self) -> list[tuple[list[Row], int]]:
        """Containers by file, and how many rows of what was charged online are known with each."""
        random, found, start, known = self.random, [], 0, 0
        while start < len(self.containers):
            stop = start + random.randint(1, 5)
            latest = max(row["end"] for row in self.containers[start:stop])
            late = random.randint(0 if self.exact else -10, 10)  # a session is known before its CDRs come
            known = max(known, sum(row["at"] <= latest + late for row in self.grants))
            found.append((self.containers[start:stop], known))
            start = stop
        return [*found, ([], len(self.grants))]


def as_grant(event: int, row: Row) -> dict[str, int]:
    def cell(value: int | None) -> int:
        return ABSENT if value is None else value

    kind = RequestKind.INITIAL if row.get("initial") else RequestKind.TERMINATION if row["closes"] else \
        RequestKind.UPDATE
    return {"source": 0, "file_id": 0, "record_offset": 0, "record_length": 0, "container_index": 0,
            "number": row["at"], "event_id_hi": event, "event_id_lo": event, "received_us": NOON + row["at"] * MINUTE,
            "kind": kind, "event_time_us": NOON + row["at"] * MINUTE, "session_hi": row["session"], "session_lo": 1,
            "service": Service.DATA, "direction": Direction.ORIGINATING, "service_id": row["service_id"],
            "rating_group": cell(row["group"]), "service_identifier": cell(row["identifier"]),
            "used": cell(row["used"]),
            "used_since_us": ABSENT if row["since"] is None else NOON + row["since"] * MINUTE,
            "result_code": 4012 if row["refused"] else SUCCESS, "final_action": 0, "charging_id": row["charging_id"],
            "gateway_address": cell(row["gateway"]), "released": 0}


def as_container(row: Row) -> dict[str, int]:
    return partial(row["charging_id"], start=NOON + row["start"] * MINUTE, up=0, down=row["quantity"],
                   number=row["number"], rating_group=row["group"], duration_s=(row["end"] - row["start"]) * 60,
                   gateway_address=ABSENT if row["gateway"] is None else row["gateway"],
                   service_identifier=ABSENT if row["identifier"] is None else row["identifier"])


def run(world: World, folder: Path) -> tuple[dict[int, tuple[str, int]], Node]:
    """Fate and share of every container, by its number, and the node at the end."""
    random = world.random
    reference = Reference()
    reference.streams = [{"name": "online", "sources": "gw-*", "format": "ts32298-gprs",
                          "online": {"wait_s": WAIT_M * 60, "tolerance_s": 0}}]
    folder.mkdir()
    node = Node(reference.load(folder), folder)
    node.charged_online(*(as_grant(place, row) for place, row in enumerate(world.grants)))
    batches: list[list[Slice]] = [[]]
    for file_id, (containers, known) in enumerate(world.files_made, 1):
        cut = random.randint(0, len(containers))
        first = 100
        for part in (containers[:cut], containers[cut:]) if random.random() < 0.5 else (containers,):
            if part or not containers:
                rows = [as_container(row) for row in part] or [
                    as_container({"charging_id": 5, "gateway": 7, "group": 1, "identifier": None, "start": 0, "end": 0,
                                  "quantity": 0, "number": 999_999})]
                batches[-1].append(piece(node.snapshot, rows, source="gw-01", file_id=file_id, first_offset=first,
                                         online_position=known))
                first += 50 * len(part)
            if random.random() < 0.4:
                batches.append([])
    fates: dict[int, tuple[str, int]] = {}
    results: list[Mediated] = []
    for batch in batches:
        results.append(node.mediate(*batch))
        if random.random() < 0.3:
            node.restart(compacted=random.random() < 0.5)
    whole = {row["number"]: row["quantity"] for row in world.containers}
    for result in results:
        for number, quantity in zip(result.usage["local_sequence"].tolist(), result.usage["quantity"].tolist(),
                                    strict=True):
            if number in whole:
                assert number not in fates, "twice"
                share = whole[number] - quantity
                fates[number] = ("part" if share else "charged", share)
        for number, quantity in zip(result.matched["local_sequence"].tolist(), result.matched["quantity"].tolist(),
                                    strict=True):
            if number in whole:
                assert number not in fates, "twice"
                fates[number] = ("matched", quantity)
    for number in node.memory.online.whole()["local_sequence"].tolist():
        assert number not in fates, "twice"
        fates[number] = ("waits", 0)
    return fates, node


def check_against_oracle(seed: int, folder: Path) -> None:
    world = World(Random(seed), exact=False)
    world.files_made = world.files()
    fates, _ = run(world, folder)
    oracle, mark = ChargedOnce(WAIT_M, 0), -(1 << 60)
    for containers, known in world.files_made:
        mark = oracle.file(world.grants[:known], containers, mark)
        mark = max(mark, 0) if not containers else mark
    assert fates == oracle.fates


def check_union(seed: int, folder: Path) -> None:
    world = World(Random(seed), exact=True)
    world.files_made = world.files()
    fates, node = run(world, folder)
    assert len(fates) == len(world.containers)
    assert not len(node.memory.online)
    from_cdrs = sum(row["quantity"] - fates[row["number"]][1] for row in world.containers)
    online = sum(row["used"] or 0 for row in world.grants)
    assert from_cdrs + online == world.used


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32))
@example(seed=450)  # a container ends where a share begins
@example(seed=1681)  # a share of a time in which others alone reported
def test_every_container_becomes_what_the_rules_say(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_against_oracle(seed, tmp_path_factory.mktemp("world") / "node")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32))
def test_every_unit_is_charged_once(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_union(seed, tmp_path_factory.mktemp("world") / "node")


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_more_worlds(block: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    for seed in range(block * 150, block * 150 + 150):
        check_against_oracle(seed, tmp_path_factory.mktemp("world") / "node")
        check_union(seed, tmp_path_factory.mktemp("world") / "node")
