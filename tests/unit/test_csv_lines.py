"""Delimited text: lines to rows, headers and trailers, and every way in which a line can be wrong."""

from pathlib import Path

import pytest

from benchmarks.text_formats import voip_csv
from mediation.formats.frame import FileFormat
from mediation.formats.registry import load_format
from schemas.codes import Direction, Reason
from schemas.columns import ABSENT
from tests.oracle.text_records import voip_calls
from tests.unit.text_layouts import layout, number, octets, reasons, text, whole

HEAD = ("call_id,node,sequence,direction,served,calling,called,setup_time,answer_time,release_time,duration,cause,"
        "trunk_in,trunk_out\n")
CALL = ("c1,sbc,7,originating,+46701,+46701,112,2026-03-01T12:00:00Z,2026-03-01T12:00:05.5Z,2026-03-01T12:01:00Z,54.5,"
        "16,a,b\n")


@pytest.fixture(scope="module")
def voip() -> FileFormat:
    return load_format("voip-csv")


def test_voip_calls_are_read_as_python_reads_them(voip: FileFormat) -> None:
    data = voip_csv(500)
    cells = whole(voip, data).cells
    assert len(cells) == 500
    for row, call in enumerate(voip_calls(data)):
        assert text(data, int(cells["session_text"][row])) == call["session"]
        assert number(int(cells["served_number"][row])) == call["served"]
        assert number(int(cells["other_number"][row])) == call["other"]
        assert Direction(int(cells["direction"][row])).name.lower() == call["direction"]
        for column, key in (("local_sequence", "sequence"), ("start_time_us", "start_us"), ("answered", "answered"),
                            ("duration_s", "duration_s")):
            assert int(cells[column][row]) == int(call[key]), column


def test_decoding_is_the_same_however_it_is_cut(voip: FileFormat) -> None:
    buffer = octets(voip_csv(300))
    frame = voip.inspect(buffer)
    together = voip.decode(buffer, frame.body_start, frame.body_end, 1000).cells.matrix
    at, row = frame.body_start, 0
    for most in (1, 2, 7, 50, 1000):
        part = voip.decode(buffer, at, frame.body_end, most)
        assert part.record_count == min(most, 300 - row)
        assert (part.cells.matrix == together[:, row:row + len(part.cells)]).all()
        at, row = part.next_offset, row + len(part.cells)
    assert row == 300


def test_header_and_trailer_lie_when_the_count_or_a_column_is_missing(voip: FileFormat) -> None:
    good = voip.inspect(octets((HEAD + CALL + "TRAILER,1\n").encode()))
    assert (good.declared_records, good.header_lies, good.problems) == (1, False, ())
    bare = voip.inspect(octets((HEAD + CALL).encode()))
    assert bare.header_lies and bare.problems == ("the trailer line is missing",)
    empty = voip.inspect(octets((HEAD + CALL + "TRAILER,x\n").encode()))
    assert empty.header_lies and "no record count" in empty.problems[0]
    lacking = voip.inspect(octets((HEAD.replace("cause", "reason") + CALL + "TRAILER,1\n").encode()))
    assert lacking.header_lies and "lacks cause" in lacking.problems[0]


def test_columns_may_come_in_any_order_with_carriage_returns_and_a_byte_order_mark(voip: FileFormat) -> None:
    names, values = HEAD.strip().split(","), CALL.strip().split(",")
    turned = "\ufeff" + ",".join(names[::-1]) + "\r\n\r\n" + ",".join(values[::-1]) + "\r\n\r\nTRAILER,1\r\n"
    cells = whole(voip, turned.encode()).cells
    assert reasons(whole(voip, turned.encode())) == ["OK"]
    assert int(cells["duration_s"][0]) == 55 and number(int(cells["other_number"][0])) == "112"


@pytest.mark.parametrize(("line", "reason"), [
    (CALL.replace("originating", "sideways"), Reason.UNKNOWN_RECORD_TYPE),
    (CALL.replace("c1,", ",", 1), Reason.MISSING_FIELD),
    (CALL.replace("54.5", "long"), Reason.BAD_VALUE),
    (CALL.replace("54.5", "-1"), Reason.NEGATIVE_QUANTITY),
    (CALL.replace("12:00:05.5Z", "12:61:05Z"), Reason.BAD_TIME),
    (CALL.replace("54.5", "").replace("12:01:00Z", "11:00:00Z"), Reason.BAD_TIME),
    (CALL.replace(",b\n", "\n"), Reason.MALFORMED_RECORD),
    (CALL.replace("c1", '"c1'), Reason.MALFORMED_RECORD),
    (CALL.replace("c1", '"c1"x'), Reason.MALFORMED_RECORD),
    ("x" * 70_000 + "\n", Reason.UNFRAMED_BYTES),
    (CALL, Reason.OK),
])
def test_each_wrong_line_has_its_reason_and_the_next_is_read(voip: FileFormat, line: str, reason: Reason) -> None:
    decoded = whole(voip, (HEAD + line + CALL + "TRAILER,2\n").encode())
    assert reasons(decoded) == [reason.name, "OK"]
    if reason != Reason.OK:
        fault = int(decoded.cells["status_offset"][0])
        assert len(HEAD) <= fault < len(HEAD) + len(line)


def test_a_last_line_that_was_cut_off_is_truncated(voip: FileFormat) -> None:
    assert reasons(whole(voip, (HEAD + CALL + CALL[:40]).encode())) == ["OK", "TRUNCATED_RECORD"]
    assert reasons(whole(voip, (HEAD + CALL + 'c2,"sb').encode())) == ["OK", "TRUNCATED_RECORD"]
    assert reasons(whole(voip, (HEAD + CALL.strip()).encode())) == ["OK"]


def test_duration_comes_from_answer_and_release_where_the_switch_gives_none(voip: FileFormat) -> None:
    cells = whole(voip, (HEAD + CALL.replace("54.5", "") + "TRAILER,1\n").encode()).cells
    assert int(cells["duration_s"][0]) == 55


def test_blank_bodies_and_empty_files_raise_nothing(voip: FileFormat) -> None:
    for data in (b"", b"\n\n", HEAD.encode(), HEAD.encode() + b"\n \r\n", b"\xef\xbb\xbf", b"TRAILER,0\n"):
        assert len(whole(voip, data).cells) <= 1
    blank = octets(b"\n\n\n")
    decoded = voip.decode(blank, 0, 3, 10)
    assert reasons(decoded) == ["UNFRAMED_BYTES"] and decoded.next_offset == 3


def test_quotes_delimiters_nulls_positions_and_alternatives(tmp_path: Path) -> None:
    form = layout(tmp_path, """
family: csv
record_key: [start_time_us]
csv: {delimiter: ";", quote: "'", nulls: ["-"], columns_least: 3, multiline: true}
records:
  - name: row
    set: {service: data}
    fields:
      - {from: 1, to: session_text, as: text}
      - {from: [2, 3], to: uplink_octets, as: quantity}
      - {from: 3, to: downlink_octets, as: quantity}
      - {from: 4, to: downlink_octets, as: quantity, multiply: 4294967296, combine: add}
""")
    data = b"'a;''b';-;5\n  'c\nd' ; 7 ; 8 ; 2\ne;;\n"
    cells = whole(form, data).cells
    assert [text(data, int(v)) for v in cells["session_text"]] == ["a;''b", "c\nd", "e"]
    assert list(cells["uplink_octets"]) == [5, 7, ABSENT]
    assert list(cells["downlink_octets"]) == [5, 8 + 2 * 2**32, ABSENT]


def test_describe_names_the_columns(voip: FileFormat) -> None:
    data = (HEAD + CALL).encode()
    tree = voip.describe(octets(data), len(HEAD), len(data))
    assert tree["columns"]["called"] == "112"  # type: ignore[index]
    assert tree["read_as"][0]["duration_s"] == 55  # type: ignore[index]
