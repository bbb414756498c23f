"""RADIUS accounting packets, built by hand with struct as RFC 2866 draws them."""

import struct
from pathlib import Path

import pytest

from benchmarks.text_formats import radius
from mediation.formats.frame import FileFormat
from mediation.formats.registry import load_format
from schemas.codes import NumberType, Reason
from schemas.columns import ABSENT
from schemas.digits import pack
from tests.unit.text_layouts import layout, octets, reasons, text, whole

START, STOP, INTERIM = 1, 2, 3
AT = 1_772_366_400  # 2026-03-01T12:00:00Z


@pytest.fixture(scope="module")
def accounting() -> FileFormat:
    return load_format("radius-accounting")


def attribute(kind: int, value: bytes | int) -> bytes:
    octet = struct.pack(">I", value) if isinstance(value, int) else value
    return bytes([kind, len(octet) + 2]) + octet


def packet(*attributes: bytes, code: int = 4) -> bytes:
    body = b"".join(attributes)
    return struct.pack(">BBH", code, 1, 20 + len(body)) + bytes(range(16)) + body


def interim(time_s: int = 300, status: int = INTERIM) -> bytes:
    return packet(attribute(40, status), attribute(44, b"s-1"), attribute(55, AT), attribute(46, time_s),
                  attribute(42, 1000), attribute(43, 7), attribute(53, 2), attribute(31, b"+46701234567"),
                  attribute(26, struct.pack(">IBB", 10415, 1, 17) + b"001010123456789"), attribute(8, b"\x0a\0\0\5"),
                  attribute(4, b"\x0a\0\0\1"))


def test_an_interim_update_reports_the_session_so_far(accounting: FileFormat) -> None:
    data = interim()
    cells = whole(accounting, data).cells
    row = {name: int(cells[name][0]) for name in cells.columns.names}
    assert row["opening_time_us"] == AT * 1_000_000
    assert row["session_start_us"] == row["start_time_us"] == (AT - 300) * 1_000_000
    assert (row["duration_s"], row["uplink_octets"], row["downlink_octets"]) == (300, 1000, 7 + 2 * 2**32)
    assert (row["served_number"], row["served_number_type"]) == (pack("46701234567"), NumberType.INTERNATIONAL)
    assert row["served_imsi"] == pack("001010123456789") and row["served_address"] == 0x0A000005
    assert row["gateway_address"] == 0x0A000001 and text(data, row["session_text"]) == "s-1"
    assert row["cause_for_closing"] == 1 and accounting.counters == "cumulative"  # type: ignore[attr-defined]


def test_a_start_has_no_usage_and_a_stop_is_final(accounting: FileFormat) -> None:
    data = packet(attribute(40, START), attribute(44, b"s-1"), attribute(55, AT)) + interim(600, STOP)
    cells = whole(accounting, data).cells
    assert list(cells["duration_s"]) == [0, 600] and list(cells["uplink_octets"]) == [0, 1000]
    assert list(cells["cause_for_closing"]) == [1, 0] and int(cells["start_time_us"][0]) == AT * 1_000_000


@pytest.mark.parametrize(("bad", "expected"), [
    (packet(attribute(40, 7), attribute(44, b"s")), ["UNKNOWN_RECORD_TYPE"]),
    (packet(attribute(44, b"s")), ["UNKNOWN_RECORD_TYPE"]),
    (packet(attribute(1, b"user"), code=1), ["UNKNOWN_RECORD_TYPE"]),
    (packet(attribute(40, STOP)), ["MISSING_FIELD"]),
    (packet(attribute(40, STOP), attribute(44, b"s"), attribute(42, b"123456789")), ["BAD_VALUE"]),
    (packet(attribute(40, STOP), attribute(44, b"s"), attribute(55, 10), attribute(46, 20)), ["BAD_TIME"]),
    (packet(attribute(40, STOP), attribute(44, b"s"), b"\x01\x01"), ["MALFORMED_RECORD"]),
    (packet(attribute(40, STOP), attribute(44, b"s"), b"\x01\x90"), ["MALFORMED_RECORD"]),
    (b"garbage!", ["UNFRAMED_BYTES"]),
    (b"\x04\x01\xff\xff" + bytes(40), ["UNFRAMED_BYTES"]),
])
def test_each_wrong_packet_has_its_reason_and_the_next_is_read(accounting: FileFormat, bad: bytes,
                                                              expected: list[str]) -> None:
    assert reasons(whole(accounting, interim() + bad + interim())) == ["OK", *expected, "OK"]


def test_a_packet_that_ends_beyond_the_file_is_truncated(accounting: FileFormat) -> None:
    whole_packet = interim()
    for cut in range(1, len(whole_packet)):
        assert reasons(whole(accounting, interim() + whole_packet[:cut])) == ["OK", "TRUNCATED_RECORD"], cut
    assert reasons(whole(accounting, b"\xff\xff")) == ["UNFRAMED_BYTES"]


def test_a_vendor_attribute_that_contradicts_itself_is_passed_over(accounting: FileFormat) -> None:
    odd = attribute(26, struct.pack(">IBB", 10415, 1, 99) + b"00101")
    cells = whole(accounting, packet(attribute(40, STOP), attribute(44, b"s"), odd)).cells
    assert int(cells["status"][0]) == Reason.OK and int(cells["served_imsi"][0]) == ABSENT


def test_generated_packets_and_cuts(accounting: FileFormat) -> None:
    buffer = octets(radius(300))
    together = accounting.decode(buffer, 0, len(buffer), 1000)
    assert together.record_count == 300 and set(together.cells["status"]) == {0}
    at, row = 0, 0
    while at < len(buffer):
        part = accounting.decode(buffer, at, len(buffer), 11)
        assert (part.cells.matrix == together.cells.matrix[:, row:row + len(part.cells)]).all()
        at, row = part.next_offset, row + len(part.cells)
    assert row == 300


def test_attributes_by_number_vendor_and_delta_counters(tmp_path: Path) -> None:
    form = layout(tmp_path, """
family: radius
record_key: [start_time_us, session_text]
radius: {counters: delta}
records:
  - name: any
    fields:
      - {from: 44, to: session_text, as: text}
      - {from: "9:1", to: rating_group, as: int}
""")
    data = packet(attribute(44, b"x"), attribute(26, struct.pack(">IBB", 9, 1, 4) + b"42"))
    cells = whole(form, data).cells
    assert int(cells["rating_group"][0]) == 42 and form.counters == "delta"  # type: ignore[attr-defined]


def test_describe_names_attributes(accounting: FileFormat) -> None:
    data = interim()
    tree = accounting.describe(octets(data), 0, len(data))
    assert ["Acct-Session-Id", "s-1"] in tree["attributes"]  # type: ignore[operator]
    assert ["3GPP-IMSI", "001010123456789"] in tree["attributes"]  # type: ignore[operator]
