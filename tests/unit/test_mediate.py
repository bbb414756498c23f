"""Mediation, one batch at a time: what becomes of every container, by hand-worked cases."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mediation.kernels.tokens import TOKEN, VALUE
from mediation.mediate import Mediated, check_conservation
from mediation.sequences import Gap
from schemas.codes import Direction, Identity, NumberType, Reason, RecordType
from schemas.columns import ABSENT, Cells
from schemas.digits import pack, unpack
from schemas.errors import InvariantError
from schemas.usage import USAGE
from tests.oracle import mediation as oracle
from tests.small_operator import (
    ANNA,
    BEN,
    LONG_AGO,
    NOON,
    SECOND,
    Node,
    Reference,
    Text,
    account,
    call,
    container,
    partial,
    piece,
    times,
)

DAY = 86_400 * SECOND
HOUR = 3600 * SECOND


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(Reference().load(tmp_path), tmp_path)


def reasons(node: Node, result: Mediated) -> list[str]:
    return node.names(result.suspense, "reason")


def test_a_call_becomes_an_event_of_its_subscriber(node: Node) -> None:
    event = node.mediate(piece(node.snapshot, [call(7, called="0034911234567")])).usage
    assert len(event) == 1
    told = {name: int(event[name][0]) for name in USAGE.names}
    assert told["event_time_us"] == NOON and told["end_time_us"] == NOON + 60 * SECOND
    assert (told["quantity"], told["unit"], told["account_id"], told["service_id"]) == (60, 0, 1, 11)
    assert unpack(told["other_prefix"]) == "34911234"  # the last three digits are nobody's business
    assert node.names(event, "other_network") == ["spain"]
    assert told["lane"] in range(32) and told["group_id"] == 1 and told["roaming"] == 0
    assert (told["session_hi"], told["session_lo"]) == (told["event_id_hi"], told["event_id_lo"])


@pytest.mark.parametrize(("row", "reason"), [
    (call(called="123", other_number_type=NumberType.INTERNATIONAL), "bad_number"),
    (call(start=NOON + HOUR), "time_ahead"),
    (call(start=12 * SECOND), "bad_time"),
    (call(session_start_us=NOON + HOUR), "bad_time"),
    (call(duration=-2), "negative_quantity"),
    (call(duration=10**8), "negative_quantity"),
    (call(uplink_octets=1 << 60), "negative_quantity"),
    (call(duration=ABSENT), "missing_field"),
    (call(service=ABSENT), "missing_field"),
    (call(start=ABSENT, opening_time_us=ABSENT), "missing_field"),
    (call(served_imsi=pack("001010000000099"), served_number=ABSENT), "unknown_subscriber"),
    (call(start=LONG_AGO - DAY), "not_subscribed_then"),
    (call(status=Reason.MALFORMED_RECORD, status_offset=123), "malformed_record"),
])
def test_a_container_that_cannot_stand_is_suspended(node: Node, row: dict[str, int], reason: str) -> None:
    result = node.mediate(piece(node.snapshot, [call(1), row], file_time_us=NOON + 60 * SECOND))
    assert reasons(node, result) == [reason]
    assert len(result.usage) == 1
    assert result.suspense["fault_offset"][0] == (123 if reason == "malformed_record" else
                                                  ABSENT if "subscribe" in reason or "subscriber" in reason else 150)


def test_a_caller_that_cannot_be_read_does_not_stop_a_terminating_leg(tmp_path: Path) -> None:
    reference = Reference()
    reference.streams[0]["filter"] = []
    node = Node(reference.load(tmp_path), tmp_path)
    result = node.mediate(piece(node.snapshot, [call(called="123", direction=Direction.TERMINATING)]))
    assert len(result.usage) == 1 and result.usage["other_class"][0] == ABSENT


def test_two_values_with_one_token_are_a_collision(node: Node) -> None:
    table = node.memory.lexicon.tokens
    node.mediate(piece(node.snapshot, [call(1)]))
    token = node.results[0].usage["other_token"][0]
    table._seen[table._seen[:, TOKEN] == token, VALUE] += 1  # as if another number had been there first
    result = node.mediate(piece(node.snapshot, [call(2)], file_id=2))
    assert reasons(node, result) == ["token_collision"]


@pytest.mark.parametrize(("source", "row", "why"), [
    ("sgw-01", partial(1, record_type=RecordType.SGW), "witness"),
    ("scscf-01", container(**{**call(), "record_type": RecordType.IMS_P_CSCF, "node_role": 0}), "witness"),
    ("scscf-01", container(**{**call(), "record_type": RecordType.IMS_S_CSCF, "node_role": 1}), "not_chargeable_role"),
    ("msc-01", call(duration=0), "zero_usage"),
    ("msc-01", call(direction=Direction.TERMINATING), "not_chargeable_role"),
    ("msc-01", call(served_imsi=pack("262010000000001")), "foreign_subscriber"),
    ("msc-01", call(served_imsi=ABSENT, served_number=pack("4915100000001")), "foreign_subscriber"),
])
def test_usage_that_nobody_is_charged_for_is_filtered(node: Node, source: str, row: dict[str, int], why: str) -> None:
    result = node.mediate(piece(node.snapshot, [row], source))
    assert node.names(result.filtered, "reason") == [why]
    assert not len(result.usage) and not len(result.suspense)


def test_a_repetition_is_a_duplicate_and_other_content_a_conflict(node: Node) -> None:
    first = node.mediate(piece(node.snapshot, [call(1), call(2)]))
    second = node.mediate(piece(node.snapshot, [call(1), call(2, duration=61), call(3), call(3)], file_id=2))
    assert len(first.usage) == 2 and len(second.usage) == 1
    assert second.duplicate["first_file_id"].tolist() == [1, 2]
    assert reasons(node, second) == ["key_conflict"]


def test_a_suspended_record_is_known_when_it_comes_again(node: Node) -> None:
    bad = call(1, called="123")
    assert reasons(node, node.mediate(piece(node.snapshot, [bad]))) == ["bad_number"]
    again = node.mediate(piece(node.snapshot, [bad], file_id=2))
    assert len(again.duplicate) == 1 and not len(again.suspense)


def test_a_record_older_than_the_horizon_is_suspended(node: Node) -> None:
    result = node.mediate(piece(node.snapshot, [call(1), call(2, start=NOON - 46 * DAY),
                                                call(3, start=NOON - 44 * DAY)]))
    assert reasons(node, result) == ["too_old"]
    assert len(result.usage) == 2


def test_a_clock_that_runs_ahead_does_not_make_others_too_old(node: Node) -> None:
    ahead = call(1, start=NOON + 50 * DAY)
    result = node.mediate(piece(node.snapshot, [ahead, call(2)], file_time_us=NOON))
    assert reasons(node, result) == ["time_ahead"] and len(result.usage) == 1


def test_porting_beats_prefix_from_the_moment_of_porting(tmp_path: Path) -> None:
    reference = Reference(ported=[{"number": "999710000005", "network": "third", **times(NOON)}])
    node = Node(reference.load(tmp_path), tmp_path)
    result = node.mediate(piece(node.snapshot, [call(1, start=NOON - 1), call(2, start=NOON)]))
    assert node.names(result.usage, "other_network") == ["rival", "third"]
    assert oracle.network(reference, "999710000005", "ordinary", NOON) == "third"


def test_a_number_that_was_given_on_pays_for_its_new_holder_only(tmp_path: Path) -> None:
    """Anna's number goes to Ben at noon; her SIM is swapped an hour before."""
    reference = Reference()
    reference.resources = [
        {"kind": "msisdn", "value": ANNA[1], "service_id": 11, **times(LONG_AGO, NOON)},
        {"kind": "msisdn", "value": ANNA[1], "service_id": 12, **times(NOON)},
        {"kind": "imsi", "value": ANNA[2], "service_id": 11, **times(LONG_AGO, NOON - HOUR)},
        {"kind": "imsi", "value": "001010000000011", "service_id": 11, **times(NOON - HOUR)},
        {"kind": "imsi", "value": BEN[2], "service_id": 12, **times()}]
    node = Node(reference.load(tmp_path), tmp_path)
    cases = [(imsi, number, NOON + step) for imsi in (ANNA[2], "001010000000011", BEN[2], "")
             for number in (ANNA[1], "") for step in (-HOUR - 1, -1, 0) if imsi or number]
    rows = [call(n, start=time, served_imsi=pack(imsi) if imsi else ABSENT,
                 served_number=pack(number) if number else ABSENT) for n, (imsi, number, time) in enumerate(cases)]
    result = node.mediate(piece(node.snapshot, rows))
    found = dict(zip(result.usage["local_sequence"].tolist(), result.usage["account_id"].tolist(), strict=True)) | \
        dict(zip(result.suspense["local_sequence"].tolist(), reasons(node, result), strict=True))
    for n, (imsi, number, time) in enumerate(cases):
        why, whose = oracle.holder(reference, imsi, number, time)
        assert found[n] == (whose if why == "ok" else why), cases[n]


def test_what_was_recorded_later_replaces_what_was_believed_before(tmp_path: Path) -> None:
    reference = Reference()
    reference.resources[0] |= {"recorded_to": NOON}
    reference.resources.append({"kind": "msisdn", "value": ANNA[1], "service_id": 12, **times(recorded=NOON)})
    snapshot = reference.load(tmp_path)
    node = Node(snapshot, tmp_path)
    event = node.mediate(piece(snapshot, [call(1, served_imsi=ABSENT)])).usage
    assert event["account_id"].tolist() == [2]
    holders, token = snapshot.inventory.holders, event["msisdn_token"]
    assert holders.rows[holders.find(token, event["event_time_us"], NOON - 1)[0], 5] == 1


def test_released_partials_carry_the_first_origin_and_name_the_others(node: Node) -> None:
    result = node.mediate(piece(node.snapshot, [
        partial(5, 1, number=1), partial(5, 2, number=2, up=20), partial(6, 1, True, number=3),
        partial(5, 3, True, number=4, up=30)], "chf-01"))
    assert result.usage["record_offset"].tolist() == [200, 100]  # in the order of release
    assert result.usage["quantity"].tolist() == [110, 360] and result.usage["merged_count"].tolist() == [1, 3]
    assert result.merged["record_offset"].tolist() == [150, 250] and result.merged["quantity"].tolist() == [120, 130]
    assert set(result.merged["event_id_lo"].tolist()) == {int(result.usage["event_id_lo"][1])}
    assert result.usage["cause_for_closing"].tolist() == [0, 0] and not result.usage["incomplete"].any()


def test_a_lost_partial_is_waited_for_then_the_rest_is_incomplete_and_the_late_one_passes(node: Node) -> None:
    first = node.mediate(piece(node.snapshot, [partial(5, 1, number=1), partial(5, 3, True, number=2)], "chf-01"))
    assert not len(first.usage) and int(first.counts.held_after.sum()) == 1 and int(first.counts.merged.sum()) == 1
    silent = node.mediate(clock_us=NOON + HOUR - 1)
    assert not len(silent.usage)
    released = node.mediate(clock_us=NOON + HOUR)
    assert released.usage["incomplete"].tolist() == [1] and int(released.counts.held_before.sum()) == 1
    late = node.mediate(piece(node.snapshot, [partial(5, 2, number=3, start=NOON + 60 * SECOND)], "chf-01", 2))
    assert late.usage["session_lo"].tolist() == released.usage["session_lo"].tolist() and len(late.usage) == 1


def test_the_same_sequence_number_with_other_content_overlaps_under_either_policy(node: Node) -> None:
    for source in ("chf-01", "pgw-01"):
        result = node.mediate(piece(node.snapshot, [partial(5, 1, number=1), partial(5, 1, number=2, up=99)], source))
        assert reasons(node, result) == ["overlapping_partial"]
    recycled = node.mediate(piece(node.snapshot, [partial(5, 1, number=1), partial(5, 1, number=2, up=99)], source,
                                  recycled=True, keep=np.array([False, True])))
    assert len(recycled.usage) == 1 and int(recycled.counts.recycled.sum()) == 1


def test_a_final_partial_without_volume_still_ends_its_session(tmp_path: Path) -> None:
    reference = Reference()
    reference.streams[2]["filter"] = ["zero_usage"]
    node = Node(reference.load(tmp_path), tmp_path)
    result = node.mediate(piece(node.snapshot, [partial(5, 1, number=1), partial(5, 2, True, up=0, down=0, number=2)],
                                "chf-01"))
    assert len(result.usage) == 1 and result.usage["incomplete"].tolist() == [0]
    assert node.names(result.filtered, "reason") == ["zero_usage"]


def test_totals_become_differences_and_what_is_covered_is_no_usage(node: Node) -> None:
    """RADIUS accounting: interim updates and the stop report totals of the session."""
    text = Text()
    session = text.at("00000001")
    rows = [container(**{**partial(ABSENT, number=n, up=total, down=0, final=final), "record_type": RecordType.WIFI,
                         "session_text": session, "charging_id": ABSENT, "opening_time_us": NOON + n,
                         "duration_s": total})
            for n, (total, final) in enumerate([(100, False), (250, False), (240, False), (250, True), (260, False)])]
    result = node.mediate(piece(node.snapshot, rows, "wifi-01", text=text))
    assert result.usage["quantity"].tolist() == [100, 150, 10] and result.usage["duration_s"].tolist() == [100, 150, 10]
    assert node.names(result.filtered, "reason") == ["witness", "witness"]


def test_more_than_sixty_four_missing_partials_leave_the_session_incomplete(node: Node) -> None:
    result = node.mediate(piece(node.snapshot, [partial(5, 80, number=1), partial(5, 81, True, number=2),
                                                partial(5, 18, number=3), partial(5, 17, number=4)], "chf-01"))
    assert reasons(node, result) == ["overlapping_partial"]  # 17 lies below what can be told apart
    assert node.mediate(clock_us=NOON + HOUR).usage["incomplete"].tolist() == [1]


def test_a_month_ends_at_local_midnight(tmp_path: Path) -> None:
    reference = Reference()
    reference.streams[2]["merge"] = {"policy": "until_final", "timeout_s": 40 * 86_400, "cycle": "month"}
    node = Node(reference.load(tmp_path), tmp_path)
    node.mediate(piece(node.snapshot, [partial(5, 1, number=1)], "chf-01"))
    november = 1_793_487_600 * SECOND  # 2026-11-01 00:00 in Berlin, after the end of summer time
    assert not len(node.mediate(clock_us=november - 1).usage)
    assert node.mediate(clock_us=november).usage["incomplete"].tolist() == [0]


def test_gaps_in_a_nodes_numbers_are_reported_and_closed(node: Node) -> None:
    node.mediate(piece(node.snapshot, [call(n) for n in (5, 6, 9, 12)]))
    assert node.memory.records.gaps() == [Gap("msc-01", 7, 8), Gap("msc-01", 10, 11)]
    node.restart()
    node.mediate(piece(node.snapshot, [call(7), call(11), call(13)], file_id=2))
    assert node.memory.records.gaps() == [Gap("msc-01", 8, 8), Gap("msc-01", 10, 10)]


def test_events_set_aside_at_resolution_come_back_once_the_inventory_knows(tmp_path: Path) -> None:
    node = Node(Reference().load(tmp_path), tmp_path)
    lost = node.mediate(piece(node.snapshot, [call(1, served_imsi=pack("001010000000099"), served_number=ABSENT)]))
    reference = Reference()
    reference.resources.append({"kind": "imsi", "value": "001010000000099", "service_id": 12, **times()})
    node.snapshot = reference.load(tmp_path)
    back = node.mediate(events=Cells(USAGE, lost.suspense.matrix[:len(USAGE.columns)].copy()))
    assert back.usage["account_id"].tolist() == [2] and int(back.counts.recycled.sum()) == 1


def test_sightings_name_each_token_once(node: Node) -> None:
    text = Text()
    rows = [call(1), call(2), call(3, other_number=text.at("sip:bank@example.org"), other_number_type=NumberType.TEXT)]
    first = node.mediate(piece(node.snapshot, rows, text=text)).sightings
    assert len(node.mediate(piece(node.snapshot, [call(4)], file_id=2)).sightings) == 0
    found = {(int(i), unpack(int(v)) if t is None else t) for i, v, t in
             zip(first.identity, first.value, (first.text.get(i) for i in range(len(first))), strict=True)}
    assert found == {(Identity.MSISDN, ANNA[1]), (Identity.IMSI, ANNA[2]), (Identity.MSISDN, "999710000005"),
                     (Identity.TEXT, "bank")}


def test_conservation_that_fails_stops_the_batch(node: Node) -> None:
    result = node.mediate(piece(node.snapshot, [call(1), call(2)]))
    with pytest.raises(InvariantError, match="accounted for"):
        check_conservation(replace(result, counts=replace(result.counts, accepted=result.counts.accepted - 1)))
    with pytest.raises(InvariantError, match="rows written"):
        check_conservation(replace(result, usage=result.usage.slice(0, 1)))


def test_a_decoder_that_loses_a_container_is_found_out(node: Node) -> None:
    with pytest.raises(InvariantError, match="announce 2 containers"):
        node.mediate(piece(node.snapshot, [call(1, container_count=2)]))


def test_every_class_is_counted_per_source(node: Node) -> None:
    mixed = [call(1), call(1), call(2, duration=0), call(3, called="123")]
    result = node.mediate(piece(node.snapshot, mixed), piece(node.snapshot, [partial(1, 1, number=1)], "chf-01", 2))
    msc, chf = (node.memory.lexicon.labels["source"].index(s) for s in ("msc-01", "chf-01"))
    counts = result.counts
    classes = (counts.arrived, counts.accepted, counts.duplicate, counts.filtered, counts.suspended)
    assert [int(c[msc]) for c in classes] == [4, 1, 1, 1, 1]
    assert [int(c[chf]) for c in (counts.arrived, counts.accepted, counts.held_after)] == [1, 0, 1]
    assert int(counts.records.sum()) == 5


def test_labels_and_tokens_do_not_depend_on_what_the_process_saw_before(node: Node, tmp_path: Path) -> None:
    """The same records give the same Arrow rows in a process that has met other names before."""
    text = Text()
    rows = [partial(1, 1, True, number=1, apn_text=text.at("internet")),
            partial(2, 1, True, number=2, apn_text=text.at("ims"))]
    other = tmp_path / "other"
    other.mkdir()
    second = Node(node.snapshot, other)
    second.mediate(piece(node.snapshot, [partial(9, 1, True, number=9, apn_text=text.at("mms"))], "pgw-02", 9,
                         text=text))
    tables = [n.mediate(piece(node.snapshot, rows, "pgw-01", 1, text=text)).usage.to_arrow(n.memory.lexicon.labels)
              for n in (node, second)]
    assert tables[0].to_pylist() == tables[1].to_pylist()
    assert Counter(tables[0].column("apn").to_pylist()) == {"internet": 1, "ims": 1}


def test_a_family_shares_a_lane(tmp_path: Path) -> None:
    reference = Reference(accounts=[account(1, group_id=77), account(2, group_id=77)])
    node = Node(reference.load(tmp_path), tmp_path)
    bens: dict[str, Any] = {"served_imsi": pack(BEN[2]), "served_number": pack(BEN[1])}
    lanes = node.mediate(piece(node.snapshot, [call(1), call(2, **bens)])).usage["lane"].tolist()
    assert lanes[0] == lanes[1]
