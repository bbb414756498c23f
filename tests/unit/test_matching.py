"""Containers of usage that was charged online, one case after the other: matched, charged, in part, or made to wait."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mediation.mediate import Mediated
from schemas.codes import Direction, RecordType, Service
from schemas.columns import ABSENT
from schemas.digits import pack
from schemas.online import SUCCESS, EventAction, RequestKind
from tests.small_operator import ANNA, NOON, SECOND, Node, Reference, container, partial, piece

MINUTE = 60 * SECOND
STREAM = {"name": "online", "sources": "gw-*", "format": "ts32298-gprs", "online": {"wait_s": 3600}}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    reference = Reference()
    reference.streams.append(dict(STREAM))
    reference.streams.append(dict(STREAM, name="messages", sources="smsc-*", format="ts32298-sms"))
    reference.streams.append(dict(STREAM, name="calls", sources="core-*", format="ts32298-ims"))
    return Node(reference.load(tmp_path), tmp_path)


def grant(kind: RequestKind = RequestKind.UPDATE, since: int = ABSENT, at: int = 0, used: int = ABSENT,
          session: int = 1, **changes: int) -> dict[str, int]:
    """What became of a request about Anna's data, at so many minutes past noon; since likewise."""
    event = 1000 + at + 100_000 * session + 10_000 * changes.get("rating_group", 1)
    return {"source": 0, "file_id": 0, "record_offset": 0, "record_length": 0, "container_index": 0,
            "event_id_hi": event, "event_id_lo": event, "received_us": NOON + at * MINUTE,
            "event_time_us": NOON + at * MINUTE, "kind": kind, "number": at, "session_hi": session,
            "session_lo": session, "service": Service.DATA, "direction": Direction.ORIGINATING, "account_id": 1,
            "service_id": 11, "rating_group": 1, "used": used, "result_code": SUCCESS, "final_action": 0,
            "used_since_us": ABSENT if since == ABSENT else NOON + since * MINUTE, "charging_id": 77,
            "gateway_address": 1, "released": 0} | changes


INITIAL, TERMINATION = RequestKind.INITIAL, RequestKind.TERMINATION


def used(start: int = 0, stop: int = 10, quantity: int = 100, number: int = 0, **changes: int) -> dict[str, int]:
    """A container, from and to so many minutes past noon."""
    return partial(77, start=NOON + start * MINUTE, up=0, down=quantity, number=number + 1,
                   **{"duration_s": (stop - start) * 60} | changes)


def online(node: Node, *rows: dict[str, int], file_id: int = 1, position: int | None = None, source: str = "gw-01",
           **more: Any) -> Mediated:
    return node.mediate(piece(node.snapshot, list(rows), source=source, file_id=file_id,
                              online_position=len(node.grants) if position is None else position, **more))


def fates(result: Mediated) -> tuple[list[int], list[int], list[int]]:
    """Quantities: charged, matched, and the shares of what is charged that were charged online."""
    return (result.usage["quantity"].tolist(), result.matched["quantity"].tolist(),
            result.matched_part["matched_quantity"].tolist())


def closed_session(node: Node, *reports: tuple[int, int, int], **changes: int) -> None:
    """A session from noon whose reports are (since, at, quantity); the last one closes it."""
    rows = [grant(INITIAL, **changes)]
    for i, (since, at, quantity) in enumerate(reports):
        rows.append(grant(TERMINATION if i == len(reports) - 1 else RequestKind.UPDATE, since, at, quantity, **changes))
    node.charged_online(*rows)


def test_usage_charged_online_is_matched_and_names_what_was_charged(node: Node) -> None:
    closed_session(node, (0, 5, 60), (5, 10, 40))
    result = online(node, used(0, 7, 70), used(7, 10, 30, number=1))
    assert fates(result) == ([], [70, 30], [])
    assert result.matched["matched_event_hi"].tolist() == [111_005] * 2  # the first report of all that covers it
    assert result.matched["account_id"].tolist() == [1, 1]
    assert result.counts.matched.sum() == 2


def test_counters_that_differ_inside_covered_time_are_not_charged(node: Node) -> None:
    closed_session(node, (0, 10, 100))
    assert fates(online(node, used(0, 10, 130))) == ([], [130], [])


def test_clocks_may_differ_by_the_tolerance(node: Node) -> None:
    closed_session(node, (0, 10, 100))
    late = used(0, 10, 100, start_time_us=NOON + 2 * SECOND)
    later = used(0, 10, 50, number=1, start_time_us=NOON + 3 * SECOND)
    result = online(node, late, later)
    assert result.matched["quantity"].tolist() == [100]
    assert result.usage["quantity"].tolist() == [50]  # not covered, and what was reported has been taken


def test_usage_while_charging_was_unreachable_is_charged(node: Node) -> None:
    closed_session(node, (0, 10, 100))
    assert fates(online(node, used(0, 10, 100), used(10, 20, 70, number=1))) == ([70], [100], [])


def test_of_a_container_partly_covered_the_rest_is_charged(node: Node) -> None:
    closed_session(node, (0, 10, 100))
    result = online(node, used(0, 6, 60), used(6, 20, 90, number=1))
    assert fates(result) == ([50], [60], [40])
    assert result.matched_part["quantity"].tolist() == [90]
    assert result.usage["downlink_octets"].tolist() == [90]  # as the network counted


def test_a_share_is_taken_once(node: Node) -> None:
    """Of two stretches that one container touches, each gives what it has left."""
    node.charged_online(grant(INITIAL), grant(RequestKind.UPDATE, 0, 10, 10), grant(INITIAL, at=20, session=2),
                        grant(TERMINATION, 20, 30, 10, session=2), grant(TERMINATION, at=30))
    result = online(node, used(0, 5, 5), used(5, 25, 12, number=1), used(25, 35, 8, number=2))
    assert fates(result) == ([5], [5, 12], [3])
    node.restart(compacted=True)
    assert fates(online(node, used(28, 31, 4, number=9), file_id=2)) == ([4], [], [])


def test_a_container_that_begins_where_a_stretch_ends_does_not_straddle_it(node: Node) -> None:
    """It has no more than a border in common with it, though another gateway's reports in the gap were its own."""
    closed_session(node, (0, 10, 100))
    closed_session(node, (8, 12, 50), session=2, gateway_address=2)
    result = online(node, used(10, 15, 40, gateway_address=ABSENT), used(5, 10, 130, number=1))
    assert fates(result) == ([], [40, 130], [])  # counters may differ where nobody straddles


def test_a_stretch_goes_on_behind_a_container_that_began_in_the_gap_that_clocks_leave(node: Node) -> None:
    node.charged_online(grant(INITIAL), grant(RequestKind.UPDATE, 0, 10, 100),
                        grant(TERMINATION, at=30, used=100, used_since_us=NOON + 10 * MINUTE + 2 * SECOND))
    nothing = used(10, 35, 0, start_time_us=NOON + 10 * MINUTE + SECOND)
    assert fates(online(node, nothing, used(5, 28, 250, number=1))) == ([], [0, 250], [])


def test_a_share_of_a_time_without_reports_is_not_taken_of_what_lies_around_it(node: Node) -> None:
    """Another gateway's reports were there: a container that names no gateway had it of those."""
    closed_session(node, (0, 3, 100), gateway_address=ABSENT)
    closed_session(node, (22, 48, 600), session=2, gateway_address=ABSENT)
    closed_session(node, (0, 29, 700), session=3, gateway_address=2)
    result = online(node, used(2, 26, 500), used(12, 17, 300, number=1, gateway_address=ABSENT),
                    used(0, 2, 10, number=2))
    assert fates(result) == ([], [500, 300, 10], [])


@pytest.mark.parametrize("gateway", [1, ABSENT])
def test_a_session_that_fell_silent_is_closed_though_its_release_names_no_bearer(node: Node, gateway: int) -> None:
    """Supervision knows the session's key, and who it was of: two services of it held something."""
    node.charged_online(grant(INITIAL, gateway_address=gateway), grant(INITIAL, gateway_address=gateway,
                                                                       rating_group=2),
                        grant(INITIAL, session=2, charging_id=78))
    assert fates(online(node, used(0, 9, 90), used(0, 9, 80, number=1, charging_id=78))) == ([], [], [])
    node.restart(compacted=True)
    node.charged_online(*(grant(TERMINATION, at=200, released=1, charging_id=ABSENT, gateway_address=ABSENT,
                                direction=ABSENT, rating_group=group) for group in (1, 2)))
    assert fates(online(node, used(300, 301, 1, number=5), file_id=2)) == ([90, 1], [], [])
    assert len(node.memory.online) == 1  # the other session is open


def test_another_rating_group_gateway_or_subscriber_is_charged(node: Node) -> None:
    closed_session(node, (0, 10, 100))
    result = online(node, used(quantity=1, rating_group=2), used(quantity=2, number=1, gateway_address=9),
                    used(quantity=3, number=2, charging_id=78),
                    used(quantity=4, number=3, gateway_address=ABSENT, served_imsi=pack("001010000000002")),
                    used(quantity=5, number=4, gateway_address=ABSENT))
    assert fates(result) == ([1, 2, 3, 4], [5], [])


def test_a_service_that_is_reported_apart_covers_only_itself(node: Node) -> None:
    closed_session(node, (0, 10, 100), service_identifier=5)
    result = online(node, used(quantity=1, service_identifier=6), used(quantity=2, number=1, service_identifier=5),
                    used(quantity=3, number=2))
    assert fates(result) == ([1], [2, 3], [])


def test_a_charging_id_that_comes_again_is_another_session(node: Node) -> None:
    closed_session(node, (0, 10, 100))
    assert fates(online(node, used(3000, 3010, 7))) == ([7], [], [])


def test_a_container_waits_for_a_session_that_is_open(node: Node) -> None:
    node.charged_online(grant(INITIAL), grant(RequestKind.UPDATE, 0, 5, 60))
    result = online(node, used(0, 9, 90))
    assert fates(result) == ([], [], []) and len(node.memory.online) == 1
    assert result.counts.held_after.sum() == 1
    node.restart()
    node.charged_online(grant(RequestKind.UPDATE, 5, 10, 40))
    result = online(node, used(0, 1, 1, number=5, rating_group=2), file_id=2)
    assert fates(result) == ([1], [90], []) and not len(node.memory.online)
    assert (result.counts.held_before.sum(), result.counts.held_after.sum()) == (1, 0)


def test_it_waits_until_the_session_is_closed_or_heard_of_later(node: Node) -> None:
    node.charged_online(grant(INITIAL), grant(RequestKind.UPDATE, 0, 5, 60))
    online(node, used(5, 9, 90), used(20, 21, 7, number=1))
    node.charged_online(grant(RequestKind.UPDATE, 15, 18, 1))  # the network was alone from 5 to 15
    assert fates(online(node, used(0, 1, 1, number=2), file_id=2)) == ([90], [1], [])
    node.charged_online(grant(TERMINATION, at=19, released=1))
    assert fates(online(node, used(0, 1, 1, number=3), file_id=3)) == ([7], [1], [])


def test_it_waits_no_longer_than_declared(node: Node) -> None:
    node.charged_online(grant(INITIAL), grant(RequestKind.UPDATE, 0, 5, 60))
    online(node, used(5, 9, 90))
    late = used(0, 1, 1, number=5, charging_id=5, opening_time_us=NOON + 69 * MINUTE)
    assert fates(online(node, late, file_id=2)) == ([1], [], [])  # record time moves with it, not before
    result = online(node, used(0, 1, 1, charging_id=5, number=7), file_id=3)
    assert fates(result) == ([90, 1], [], [])


def test_a_clock_command_ends_the_wait(node: Node) -> None:
    node.charged_online(grant(INITIAL), grant(RequestKind.UPDATE, 0, 5, 60))
    online(node, used(5, 9, 90))
    assert fates(node.mediate(clock_us=NOON + 68 * MINUTE)) == ([], [], [])
    assert fates(node.mediate(clock_us=NOON + 69 * MINUTE)) == ([90], [], [])


def test_what_collection_did_not_know_is_not_known(node: Node) -> None:
    closed_session(node, (0, 10, 100))
    assert fates(online(node, used(), position=0)) == ([100], [], [])


def test_a_report_of_nothing_covers_the_time_since_the_last(node: Node) -> None:
    node.charged_online(grant(INITIAL), grant(RequestKind.UPDATE, 0, 5, 60), grant(RequestKind.UPDATE, at=10, used=0),
                        grant(TERMINATION, 10, 15, 40))
    assert fates(online(node, used(0, 15, 101))) == ([], [101], [])


def test_nobody_waits_for_a_session_that_was_refused(node: Node) -> None:
    node.charged_online(grant(INITIAL, result_code=4012, granted=0))
    assert fates(online(node, used(0, 9, 90))) == ([90], [], [])


def test_usage_reported_without_a_rating_group_covers_them_all(node: Node) -> None:
    closed_session(node, (0, 10, 100), rating_group=ABSENT)
    assert fates(online(node, used(quantity=5), used(quantity=6, rating_group=7, number=1))) == ([], [5, 6], [])


def test_streams_that_are_not_declared_are_charged(node: Node) -> None:
    closed_session(node, (0, 10, 100))
    assert fates(online(node, used(), source="pgw-01")) == ([100], [], [])


def message(at_s: int, number: int, **changes: int) -> dict[str, int]:
    return container(**{"record_type": RecordType.SMS_MO, "service": Service.SMS, "direction": Direction.ORIGINATING,
                        "start_time_us": NOON + at_s * SECOND, "message_count": 1, "served_imsi": pack(ANNA[2]),
                        "local_sequence": number, "charging_id": number, "opening_time_us": NOON + at_s * SECOND}
                     | changes)


def test_messages_are_matched_one_by_one(node: Node) -> None:
    node.charged_online(*(grant(RequestKind.EVENT, at=0, session=s, service=Service.SMS, charging_id=ABSENT,
                                rating_group=ABSENT, action=EventAction.DIRECT_DEBITING, granted=1) for s in (1, 2)))
    node.charged_online(grant(RequestKind.EVENT, at=0, session=3, service=Service.SMS, charging_id=ABSENT, granted=1,
                              action=EventAction.PRICE_ENQUIRY))
    rows = [message(second, number) for number, second in enumerate((3, 59, 60, -61))]
    result = online(node, *rows, source="smsc-01")
    assert (len(result.matched), len(result.usage)) == (2, 2)
    assert len(set(result.matched["matched_event_hi"].tolist())) == 2
    assert result.usage["event_time_us"].tolist() == [NOON + 60 * SECOND, NOON - 61 * SECOND]


def test_legs_of_a_call_are_matched_by_icid_and_direction(node: Node) -> None:
    from mediation.matching import references
    from tests.small_operator import Text

    text = Text()
    icid, other = text.at("icid-1"), text.at("icid-2")
    hi, lo = references(text.buffer, np.array([icid], np.int64))
    node.charged_online(*(grant(kind, since, at, quantity, service=Service.VOICE, charging_id=ABSENT,
                                rating_group=100, icid_hi=int(hi[0]), icid_lo=int(lo[0]))
                          for kind, since, at, quantity in ((INITIAL, ABSENT, 0, ABSENT), (TERMINATION, 0, 2, 120))))

    def leg(number: int, **changes: int) -> dict[str, int]:
        return container(**{"record_type": RecordType.IMS_S_CSCF, "service": Service.VOICE,
                            "direction": Direction.ORIGINATING, "start_time_us": NOON, "opening_time_us": NOON,
                            "duration_s": 120, "served_imsi": pack(ANNA[2]), "answered": 1, "session_text": icid,
                            "local_sequence": number, "other_number": pack("999710000005"), "other_number_type": 1,
                            "charging_id": 500 + number} | changes)

    result = online(node, leg(1), leg(2, direction=Direction.TERMINATING), leg(3, session_text=other),
                    source="core-01", text=text)
    assert (len(result.matched), len(result.usage)) == (1, 2)
