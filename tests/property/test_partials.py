"""Partials against the oracle, however the input is cut, with restarts in between."""

import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_data.snapshot import Snapshot
from tests.oracle import mediation as oracle
from tests.small_operator import ABSENT, NOON, SECOND, Node, Reference, partial, piece

HOUR = 3600 * SECOND
STREAMS = [
    {"name": "each", "sources": "pgw-*", "format": "ts32298-gprs", "merge": {"timeout_s": 3600}},
    {"name": "final", "sources": "chf-*", "format": "ts32298-chf",
     "merge": {"policy": "until_final", "timeout_s": 3600}, "filter": ["zero_usage"]},
    {"name": "daily", "sources": "ggsn-*", "format": "ts32298-gprs",
     "merge": {"policy": "until_final", "timeout_s": 40_000, "cycle": "day"}},
]
SOURCES = {"pgw-01": "each", "chf-01": "final", "ggsn-01": "daily"}


@cache
def reference() -> Snapshot:
    with tempfile.TemporaryDirectory() as folder:
        return Reference(streams=STREAMS).load(Path(folder))


record = st.fixed_dictionaries({
    "session": st.integers(1, 4), "sequence": st.sampled_from([ABSENT, 0, 1, 1, 2, 2, 3, 4, 5, 60]),
    "final": st.booleans(), "later": st.sampled_from([0, 0, 60, 600, 1900, 3600, 4000, 20_000, 90_000]),
    "groups": st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50), st.sampled_from([1001, 26201])), min_size=1,
                       max_size=3)})


def rows_of(records: list[dict[str, Any]]) -> list[list[dict[str, int]]]:
    """Decoded containers of every record; record time goes on by `later` seconds, now and then a little back."""
    time, result = NOON, []
    for number, r in enumerate(records):
        time += r["later"] * SECOND
        opening = time - (number % 3) * 30 * SECOND
        result.append([partial(r["session"], r["sequence"], r["final"], opening + k * SECOND, group, up=quantity,
                               down=0, number=number, serving_plmn=plmn, opening_time_us=opening, container_index=k,
                               container_count=len(r["groups"]))
                       for k, (group, quantity, plmn) in enumerate(r["groups"])])
    return result


def expected(source: str, records: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    merge = next(s for s in STREAMS if s["name"] == SOURCES[source])["merge"]
    book = oracle.Partials(merge.get("policy") == "until_final", merge["timeout_s"], merge.get("cycle", "none"))
    out: list[tuple[str, dict[str, Any]]] = []
    watermark = 0
    for number, containers in enumerate(rows_of(records)):
        events = [{"session": c["charging_id"], "sequence": c["partial_sequence"], "cause": c["cause_for_closing"],
                   "quantity": c["uplink_octets"], "rating_group": c["rating_group"], "service_identifier": ABSENT,
                   "plmn": c["serving_plmn"], "start": c["start_time_us"], "end": c["start_time_us"] + 60 * SECOND,
                   "count": 1, "incomplete": False, "origin": (number, c["container_index"]),
                   "silent": source == "chf-01" and c["uplink_octets"] == 0} for c in containers]
        watermark = max(watermark, containers[0]["opening_time_us"])
        book.take(events, watermark, out)
    held = [("held", e) for s in book.sessions.values() for e in s.held.values()]
    return out + held


def told(event: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(event[name] for name in ("session", "rating_group", "plmn", "quantity", "count", "incomplete", "start",
                                          "end", "sequence", "origin"))


COLUMNS = ("charging_id", "rating_group", "serving_plmn", "quantity", "merged_count", "incomplete", "event_time_us",
           "end_time_us", "partial_sequence")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SOURCES)), st.lists(record, min_size=1, max_size=25), st.data())
def test_partials_equal_the_oracle_however_they_are_cut(source: str, records: list[dict[str, Any]],
                                                        data: st.DataObject) -> None:
    snapshot = reference()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(records)), max_size=5)) | {0, len(records)})
    restarts = data.draw(st.sets(st.sampled_from(cuts)))
    containers = rows_of(records)
    with tempfile.TemporaryDirectory() as folder:
        node = Node(snapshot, Path(folder))
        for first, last in pairwise(cuts):
            if first in restarts:
                node.restart(compacted=first % 2 == 0)
            node.mediate(piece(snapshot, [c for r in containers[first:last] for c in r], source,
                               first_offset=100 + 50 * first))
        results = node.results
        everything = node.memory.partials()
    want = expected(source, records)

    def found(cells: Any) -> list[tuple[Any, ...]]:
        places = zip(cells["record_offset"].tolist(), cells["container_index"].tolist(), strict=True)
        origin = [((o - 100) // 50, i) for o, i in places]
        columns = [cells[name].tolist() for name in COLUMNS]
        return [(*row[:5], bool(row[5]), *row[6:]) for row in zip(*columns, origin, strict=True)]

    assert [row for r in results for row in found(r.usage)] == [told(e) for fate, e in want if fate == "usage"]
    assert sorted(found(everything.held)) == sorted(told(e) for fate, e in want if fate == "held")
    assert [row for r in results for row in found(r.suspense)] == [told(e) for fate, e in want if fate == "overlap"]
    merged = [(((o - 100) // 50, i), q) for r in results for o, i, q in zip(
        *(r.merged[name].tolist() for name in ("record_offset", "container_index", "quantity")), strict=True)]
    assert merged == [(e["origin"], e["quantity"]) for fate, e in want if fate == "merged"]
    ids = np.concatenate([r.usage["event_id_lo"] for r in results])
    assert np.unique(ids).size == ids.size
