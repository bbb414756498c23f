"""TS 32.297: headers, releases, lies, fillers, indefinite lengths; all that is read around and inside the frames."""

import pytest

from schemas.codes import Reason
from tests import ber_records as records
from tests.unit.test_ber_reasons import GOOD, PGW, decode, pgw

SERVICES = [{"ratingGroup": group, "conditions": (b"\x80", 1), "reported": PGW["opening"], "up": group, "down": 2}
            for group in (10, 20)]
RICH = pgw(services=SERVICES, volumes=[{"condition": "tariff", "changed": PGW["opening"], "up": 10, "down": 2}])


def test_header_of_an_honest_file() -> None:
    octets = records.file_of([GOOD, RICH])
    fmt = records.loaded("ts32298-gprs")
    frame = fmt.inspect(records.array(octets))
    assert (frame.body_start, frame.body_end) == (54, len(octets))
    assert (frame.declared_records, frame.declared_octets, frame.file_sequence) == (2, len(octets), 7)
    assert (frame.header_lies, frame.problems) == (False, ())
    header = fmt.header(records.array(octets))
    assert header is not None
    assert (header.high_release, header.release_extensions, header.closure_reason) == ((7, 6), (6, 6), 0)
    assert (header.opening.month, header.opening.day, header.opening.hour, header.opening.offset_minutes) == \
        (10, 21, 12, 120)


@pytest.mark.parametrize(("at", "octets", "told"), [
    (0, (9999).to_bytes(4, "big"), "9999 octets"),
    (4, (60).to_bytes(4, "big"), "header says it has 60"),
    (4, (0).to_bytes(4, "big"), "header says it has 0"),
    (18, (5).to_bytes(4, "big"), "5 records, 2 were found"),
    (10, (15 << 28).to_bytes(4, "big"), "opening time"),
    (26, b"\x83", "abnormally, reason 131"),
    (47, b"\x01", "records were lost"),
])
def test_a_header_that_lies_is_told_and_the_records_are_read(at: int, octets: bytes, told: str) -> None:
    data = bytearray(records.file_of([GOOD, RICH]))
    data[at:at + len(octets)] = octets
    frame = records.loaded("ts32298-gprs").inspect(records.array(bytes(data)))
    assert any(told in problem for problem in frame.problems)
    assert frame.header_lies == (at not in (26, 47))
    assert frame.body_start == 54
    assert [row[0] for row in decode(bytes(data), frame.body_start)] == ["OK"] * 3


def test_a_file_cut_inside_its_header_is_all_unframed() -> None:
    octets = records.file_of([GOOD])[:40]
    frame = records.loaded("ts32298-gprs").inspect(records.array(octets))
    assert frame.header_lies and frame.body_start == 0
    assert decode(octets) == [("UNFRAMED_BYTES", 0, 40)]


def test_an_empty_file_of_only_a_header_has_no_records() -> None:
    frame = records.loaded("ts32298-gprs").inspect(records.array(records.file_of([])))
    assert (frame.body_start, frame.body_end, frame.problems) == (54, 54, ())


def test_older_release_has_no_extension_octets() -> None:
    body = records.framed(GOOD, extended=False) + records.framed(RICH, extended=False)
    header = bytearray(records.file_header(body, 2)[:52])
    header[0:4], header[4:8] = (52 + len(body)).to_bytes(4, "big"), (52).to_bytes(4, "big")
    header[8:10] = b"\xc6\xc6"
    octets = bytes(header) + body
    frame = records.loaded("ts32298-gprs").inspect(records.array(octets))
    assert (frame.body_start, frame.problems) == (52, ())
    assert [row[0] for row in decode(octets, 52)] == ["OK"] * 3


def test_routeing_filter_and_private_extension_move_the_body() -> None:
    body = records.framed(GOOD)
    plain = records.file_header(body, 1)
    header = plain[:48] + b"\0\3abc" + b"\0\2xy" + plain[52:]
    header = (len(header) + len(body)).to_bytes(4, "big") + len(header).to_bytes(4, "big") + header[8:]
    frame = records.loaded("ts32298-gprs").inspect(records.array(header + body))
    assert (frame.body_start, frame.problems) == (59, ())


def test_a_frame_length_that_lies_is_overruled_by_the_record() -> None:
    frames = [bytearray(records.framed(GOOD)) for _ in range(3)]
    frames[1][0:2] = (60_000).to_bytes(2, "big")
    octets = records.file_header(b"", 3) + b"".join(frames)
    assert [row[0] for row in decode(octets, 54)] == ["OK", "OK", "OK"]


@pytest.mark.parametrize("filler", [bytes(1), bytes(37), b"\xff" * 12])
@pytest.mark.parametrize("in_file", [True, False])
def test_fillers_belong_to_the_record_before_them(filler: bytes, in_file: bool) -> None:
    item = records.framed(GOOD) if in_file else GOOD
    head = records.file_header(b"", 2) if in_file else b""
    octets = head + item + filler + item + filler
    n, at = len(item) + len(filler), len(head)
    assert decode(octets, at) == [("OK", at, n), ("OK", at + n, n)]


def indefinite(octets: bytes) -> bytes:
    """The same element with indefinite lengths, as deep as it is constructed."""
    end = 2 if octets[0] & 31 == 31 else 1
    while octets[0] & 31 == 31 and octets[end - 1] & 0x80:
        end += 1
    length, content = octets[end], end + 1
    if length >= 0x80:
        content += length & 0x7F
    if not octets[0] & 0x20:
        return octets
    inner, at = b"", content
    while at < len(octets):
        size = element_octets(octets[at:])
        inner += indefinite(octets[at:at + size])
        at += size
    return octets[:end] + b"\x80" + inner + b"\0\0"


def element_octets(octets: bytes) -> int:
    at = 1
    if octets[0] & 31 == 31:
        while octets[at] & 0x80:
            at += 1
        at += 1
    if octets[at] < 0x80:
        return at + 1 + octets[at]
    count = octets[at] & 0x7F
    return at + 1 + count + int.from_bytes(octets[at + 1:at + 1 + count], "big")


@pytest.mark.parametrize("in_file", [True, False])
def test_indefinite_lengths_say_the_same(in_file: bool) -> None:
    both = []
    for item in (RICH, indefinite(RICH)):
        octets = records.file_of([item, item]) if in_file else item + item
        start = 54 if in_file else 0
        cells = records.loaded("ts32298-gprs").decode(records.array(octets), start, len(octets), 10).cells
        records.check_tiling(cells, start, len(octets))
        both.append(records.readable(cells, octets))
    assert both[0] == both[1] and len(both[0]) == 4


def test_an_indefinite_length_that_never_ends_is_not_read() -> None:
    octets = indefinite(RICH)[:-2]
    assert decode(octets)[0][0] == "MALFORMED_RECORD"


def test_unknown_tags_of_any_class_and_size_are_passed_over() -> None:
    extra = b"\x9f\x87\x68\x02ab" + b"\xff\x81\x00\x03xyz" + b"\x5e\x01q" + b"\xbf\x90\x01\x80\x30\x80\0\0\x04\0\0\0"
    body = GOOD[3:] + extra
    assert GOOD[:2] == b"\xbf\x4f" and GOOD[2] == len(GOOD) - 3
    octets = b"\xbf\x4f\x81" + bytes([len(body)]) + body
    assert decode(octets) == [("OK", 0, len(octets))]


def test_service_data_and_traffic_volumes_are_never_both_counted() -> None:
    cells = records.loaded("ts32298-gprs").decode(records.array(RICH), 0, len(RICH), 1).cells
    assert cells["uplink_octets"].tolist() == [10, 20]
    assert RICH.index(b"\xac") < RICH.index(b"\xbf\x22")  # although the volumes come first, tag 12 before tag 34
    only = pgw(volumes=[{"condition": "tariff", "changed": PGW["opening"], "up": 3, "down": 4}])
    cells = records.loaded("ts32298-gprs").decode(records.array(only), 0, len(only), 1).cells
    assert (cells["uplink_octets"].tolist(), cells["downlink_octets"].tolist()) == ([3], [4])


def test_describe_names_what_the_layout_knows_and_shows_what_it_does_not() -> None:
    octets = records.file_of([RICH])
    tree = records.loaded("ts32298-gprs").describe(records.array(octets), 54, len(octets))
    assert (tree["record"], tree["tag"], tree["offset"]) == ("pGWRecord", "79", 54)
    fields = {str(item.get("name", item["tag"])): item for item in tree["fields"]}  # type: ignore[attr-defined]
    assert fields["servedIMSI"]["value"] == "001010000000001"
    assert fields["recordOpeningTime"]["value"] == "2026-10-21T12:00:00+00:00"
    assert fields["0"]["value"] == "U"  # the record type, which no column takes: 85
    assert len(fields["34"]["fields"]) == 2
    assert "trouble" not in tree
    broken = records.loaded("ts32298-gprs").describe(records.array(octets), 54, len(octets) - 9)
    assert "trouble" in broken


def test_a_layout_reads_what_a_charging_gateway_mixes() -> None:
    chf = {"recordType": 200, "function": "chf", "consumer": {"role": "smf"}, "opening": PGW["opening"], "duration": 1,
           "cause": 0}
    octets = records.file_of([GOOD, records.encode("ChfRecord", "chf", chf), GOOD])
    assert {row[0] for row in decode(octets, 54, "ts32298-packet")} == {Reason.OK.name}
    assert [row[0] for row in decode(octets, 54)][1] == "UNKNOWN_RECORD_TYPE"
