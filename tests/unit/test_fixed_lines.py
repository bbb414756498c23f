"""Fixed-width records: lines, blocks, several kinds, and every way to be wrong."""

from pathlib import Path

import pytest

from mediation.formats.frame import FileFormat
from schemas.codes import Reason
from schemas.columns import ABSENT
from schemas.digits import pack
from tests.unit.text_layouts import layout, octets, reasons, whole

RECORDS = """
family: fixed
record_key: [start_time_us, served_number]
fixed: {%s}
records:
  - name: call
    when: {1-2: "10"}
    set: {service: voice, record_type: mo_call}
    fields: &fields
      - {from: 3-14, to: served_number, as: number, number_type: international}
      - {from: 15-26, to: start_time_us, as: compact-time}
      - {from: 27-32, to: duration_s, as: quantity}
    required: [served_number, start_time_us]
  - name: message
    when: {1-2: ["20", "21"]}
    set: {service: sms, message_count: 1}
    fields: *fields
"""
CALL = "10 46701234567260301120000   065"
SMS = "21 46701234568260301120001      "


@pytest.fixture
def lines(tmp_path: Path) -> FileFormat:
    return layout(tmp_path, RECORDS % 'skip_lines: 1, trailer: {starts: "99", records: 2}, zone: "+01:00"')


def test_lines_of_two_kinds(lines: FileFormat) -> None:
    data = f"00HEADER\n{CALL}\r\n{SMS}\r\n99 2\r\n".encode()
    frame = lines.inspect(octets(data))
    assert frame.declared_records == 2 and not frame.header_lies
    cells = whole(lines, data).cells
    assert reasons(whole(lines, data)) == ["OK", "OK"]
    assert list(cells["served_number"]) == [pack("46701234567"), pack("46701234568")]
    assert list(cells["duration_s"]) == [65, ABSENT] and list(cells["message_count"]) == [ABSENT, 1]
    assert int(cells["start_time_us"][0]) == 1_772_362_800_000_000  # 12:00 at UTC+1


@pytest.mark.parametrize(("bad", "reason"), [
    (CALL[:20], Reason.MALFORMED_RECORD),
    ("30" + CALL[2:], Reason.UNKNOWN_RECORD_TYPE),
    ("10" + " " * 12 + CALL[14:], Reason.MISSING_FIELD),
    (CALL[:-3] + "x65", Reason.BAD_VALUE),
    (CALL[:-3] + " -5", Reason.NEGATIVE_QUANTITY),
    (CALL.replace("260301", "261301"), Reason.BAD_TIME),
    (CALL + " " * 70_000, Reason.UNFRAMED_BYTES),
])
def test_each_wrong_line_has_its_reason_and_the_next_is_read(lines: FileFormat, bad: str, reason: Reason) -> None:
    assert reasons(whole(lines, f"00\n{CALL}\n{bad}\n{CALL}\n99\n".encode())) == ["OK", reason.name, "OK"]


def test_a_cut_last_line_is_truncated_and_too_long_ones_are_malformed(tmp_path: Path, lines: FileFormat) -> None:
    assert reasons(whole(lines, f"00\n{CALL}\n{CALL[:12]}".encode())) == ["OK", "TRUNCATED_RECORD"]
    strict = layout(tmp_path, RECORDS % "octets_most: 32", "strict")
    assert reasons(whole(strict, f"{CALL}\n{CALL}+\n".encode())) == ["OK", "MALFORMED_RECORD"]


def test_blocks_without_line_feeds(tmp_path: Path) -> None:
    form = layout(tmp_path, RECORDS % "record_octets: 32", "blocks")
    decoded = whole(form, (CALL + SMS + CALL[:9]).encode())
    assert reasons(decoded) == ["OK", "OK", "TRUNCATED_RECORD"]
    tree = form.describe(octets(CALL.encode()), 0, 32)
    assert tree["octets"]["1-2"] == "10"  # type: ignore[index]
