"""Every reason of framing and decoding, produced by octets that deserve it; what stands beside them is read."""

from typing import Any

import pytest

from mediation.kernels.ber_tables import MAX_CONTAINERS
from schemas.codes import Reason
from tests import ber_records as records

STAMP = bytes.fromhex("2610211200002b0000")
PGW: dict[str, Any] = {"recordType": 85, "gateway": ("v4", b"\x0a\0\0\1"), "chargingId": 7, "servingNodes": [],
                       "opening": STAMP, "duration": 60, "cause": 0, "imsi": records.tbcd("001010000000001")}


def pgw(**changes: Any) -> bytes:
    value = {key: item for key, item in {**PGW, **changes}.items() if item is not None}
    return records.encode("PacketRecord", "pgw", value)


GOOD = pgw()


def decode(octets: bytes, start: int = 0, layout: str = "ts32298-gprs") -> list[tuple[str, int, int]]:
    """(reason, offset, length) by row."""
    cells = records.loaded(layout).decode(records.array(octets), start, len(octets), 100).cells
    records.check_tiling(cells, start, len(octets))
    return [(Reason(int(s)).name, int(o), int(n)) for s, o, n in
            zip(cells["status"], cells["record_offset"], cells["record_length"], strict=True)]


def status_offset(octets: bytes) -> int:
    cells = records.loaded("ts32298-gprs").decode(records.array(octets), 0, len(octets), 1).cells
    return int(cells["status_offset"][0])


def test_garbage_between_bare_records_is_one_row_of_unframed_bytes() -> None:
    n = len(GOOD)
    assert decode(GOOD + b"garbage" + GOOD) == [("OK", 0, n), ("UNFRAMED_BYTES", n, 7), ("OK", n + 7, n)]


def test_garbage_between_framed_records_is_one_row_of_unframed_bytes() -> None:
    record = records.framed(GOOD)
    octets = records.file_header(b"", 2) + record + b"!garbage!" + record
    assert decode(octets, 54) == [("OK", 54, len(record)), ("UNFRAMED_BYTES", 54 + len(record), 9),
                                  ("OK", 63 + len(record), len(record))]


def test_a_record_cut_off_by_the_end_of_its_file_is_truncated() -> None:
    n = len(GOOD)
    assert decode(GOOD + GOOD[:-5]) == [("OK", 0, n), ("TRUNCATED_RECORD", n, n - 5)]
    record = records.framed(GOOD)
    octets = records.file_header(b"", 2) + record + record[:-5]
    assert decode(octets, 54)[1][0] == "TRUNCATED_RECORD"


def test_a_record_longer_than_its_frame_is_truncated_and_the_next_one_read() -> None:
    short = records.framed(GOOD[:-3])
    octets = records.file_header(b"", 2) + short + records.framed(GOOD)
    assert [row[0] for row in decode(octets, 54)] == ["TRUNCATED_RECORD", "OK"]


def test_lengths_that_contradict_each_other_make_a_malformed_record() -> None:
    at = GOOD.index(b"\x8d\x09" + STAMP)
    broken = bytearray(GOOD)
    broken[at + 1] = 0x7F
    assert decode(bytes(broken) + GOOD)[0] == ("MALFORMED_RECORD", 0, len(GOOD))
    assert status_offset(bytes(broken) + GOOD) == at


def test_a_well_formed_record_that_no_layout_claims_is_of_unknown_type() -> None:
    other = records.encode("SessionRecord", "scscf", {"recordType": 63, "requested": STAMP, "callId": "x"})
    assert [row[0] for row in decode(GOOD + other + GOOD)] == ["OK", "UNKNOWN_RECORD_TYPE", "OK"]
    octets = records.file_of([GOOD, other, GOOD])
    assert [row[0] for row in decode(octets, 54)] == ["OK", "UNKNOWN_RECORD_TYPE", "OK"]


def test_an_absent_required_field_is_missing() -> None:
    whole = GOOD
    at = whole.index(b"\x85\x01\x07")  # chargingID
    missing = whole[:3] + bytes([whole[3]]) + whole[4:]
    missing = bytearray(missing[:at] + missing[at + 3:])
    missing[2] -= 3
    assert decode(bytes(missing))[0][0] == "MISSING_FIELD"


@pytest.mark.parametrize(("changes", "reason"), [
    ({"opening": bytes.fromhex("26a021120000 2b0000")}, Reason.BAD_VALUE),     # no decimal digit
    ({"opening": bytes.fromhex("261021120000 200000")}, Reason.BAD_VALUE),     # neither + nor -
    ({"opening": bytes.fromhex("260230120000 2b0000")}, Reason.BAD_TIME),      # February 30
    ({"opening": bytes.fromhex("250229120000 2b0000")}, Reason.BAD_TIME),      # no leap year
    ({"imsi": bytes.fromhex("f01032")}, Reason.BAD_VALUE),                     # a digit after the filler
    ({"imsi": records.tbcd("12345678901234567")}, Reason.BAD_NUMBER),          # 17 digits
    ({"duration": -1}, Reason.NEGATIVE_QUANTITY),
    ({"cause": -1}, Reason.BAD_VALUE),
    ({"localSequence": 1 << 64}, Reason.BAD_VALUE),
    ({"servingPlmn": bytes.fromhex("aa0000")}, Reason.BAD_VALUE),
])
def test_a_value_that_cannot_be_read_says_why_and_where(changes: dict[str, Any], reason: Reason) -> None:
    octets = pgw(**changes)
    assert decode(octets + GOOD) == [(reason.name, 0, len(octets)), ("OK", len(octets), len(GOOD))]
    assert 0 < status_offset(octets) < len(octets)


def test_a_bad_record_still_says_what_it_is() -> None:
    cells = records.loaded("ts32298-gprs").decode(records.array(pgw(cause=-1)), 0, 1000, 10).cells
    row = records.readable(cells.slice(0, 1), b"")[0]
    assert (row["record_type"], row["served_imsi"], row["charging_id"]) == ("pgw", "001010000000001", 7)


def test_end_before_start_is_a_bad_time() -> None:
    value = {"recordType": 63, "requested": STAMP, "callId": "x", "answered": STAMP,
             "ended": bytes.fromhex("2610211159592b0000")}
    octets = records.encode("SessionRecord", "scscf", value)
    assert decode(octets, layout="ts32298-ims")[0][0] == "BAD_TIME"
    without = records.encode("SessionRecord", "scscf", {k: v for k, v in value.items() if k != "ended"})
    assert decode(without, layout="ts32298-ims")[0][0] == "MISSING_FIELD"


def test_more_containers_than_the_limit_are_one_bad_row() -> None:
    container = {"ratingGroup": 1, "conditions": (b"\x80", 1), "reported": STAMP, "up": 1, "down": 1}
    at_limit = pgw(services=[container] * MAX_CONTAINERS)
    assert len(decode(at_limit)) == MAX_CONTAINERS
    assert decode(pgw(services=[container] * (MAX_CONTAINERS + 1)) + GOOD)[0][0] == "TOO_MANY_CONTAINERS"


def test_a_total_below_its_part_is_a_negative_quantity() -> None:
    value = {"recordType": 200, "function": "chf", "consumer": {"role": "smf"}, "opening": STAMP, "duration": 1,
             "cause": 0, "usage": [{"ratingGroup": 1, "containers": [{"total": 5, "up": 6}]}]}
    assert decode(records.encode("ChfRecord", "chf", value), layout="ts32298-chf")[0][0] == "NEGATIVE_QUANTITY"
