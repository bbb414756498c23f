"""Layouts: what they refuse, with file, line, what was found and what to do; and private tags declared in a file."""

from pathlib import Path

import pytest

from mediation.formats.layout import read_layout
from mediation.formats.registry import FAMILIES, LAYOUTS, format_names, load_format
from schemas.errors import FormatError
from tests import ber_records as records
from tests.unit.test_ber_reasons import GOOD, PGW

GOOD_LAYOUT = """name: acme
family: ber
description: a switch with tags of its own
record_key: [start_time_us, session_text]
records:
  - name: call
    when: {tag: P500}
    set: {record_type: voip, service: voice}
    fields:
      - {from: 1, to: start_time_us, as: timestamp9}
      - {from: P3, to: other_number, as: address-string}
      - {from: A2.P70000, to: session_text, as: text}
      - {from: 13.10, to: duration_s, as: quantity}
      - {from: 4, to: _reason, as: int}
    derive:
      - {to: cause_for_closing, as: map, from: _reason, map: {7: 4}}
    required: [start_time_us]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "acme.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("old", "new", "line", "told"), [
    ("family: ber", "family: asn", 2, "unknown family 'asn'"),
    ("name: acme", "name: acne", 1, "name 'acne'"),
    ("description:", "descriptoin:", 3, "unknown key 'descriptoin'"),
    ("[start_time_us, session_text]", "[session_text]", 4, "a time column first"),
    ("[start_time_us, session_text]", "[start_time_us, sesion]", 4, "unknown column 'sesion'"),
    ("tag: P500", "tag: X5", 6, "no tag in 'when'"),
    ("voip", "viop", 8, "record_type 'viop'"),
    ("as: text}", "as: txet}", 12, "unknown conversion 'txet'"),
    ("A2.P70000", "A2..3", 12, "tag path 'A2..3'"),
    ("to: duration_s", "to: status", 13, "unknown column 'status'"),
    ("as: timestamp9", "as: int", 10, "'int' into start_time_us"),
    ("to: duration_s, as: quantity", "to: duration_s, as: quantity, scale: 2", 13, "unknown key 'scale'"),
    ("as: map", "as: mpa", 16, "unknown derivation 'mpa'"),
    ("{7: 4}", "{seven: 4}", 16, "map key 'seven'"),
    ("required: [start_time_us]", "required: [apn_text]", 17, "'apn_text' has no source"),
    ("required: [start_time_us]", "required: start_time_us", 17, "'required' is no list"),
    ("    set: {record", "    set: {service: sms}\n    set: {record", 9, "'set' appears twice"),
    ("records:", "records: [", 6, "expected"),
    ("  - name: call", "  - include: nowhere\n  - name: call", 6, "no layout 'nowhere.yaml'"),
    ("  - name: call", "  - include: ts32298-packet\n  - name: call", 7, "included by an included layout"),
])
def test_a_wrong_layout_names_file_line_and_find(tmp_path: Path, old: str, new: str, line: int, told: str) -> None:
    assert old in GOOD_LAYOUT
    write(tmp_path, GOOD_LAYOUT.replace(old, new, 1))
    with pytest.raises(FormatError) as caught:
        load_format("acme", tmp_path)
    assert told in str(caught.value)
    assert f".yaml, line {line}:" in str(caught.value)


def test_private_tags_are_read_as_the_file_declares_them(tmp_path: Path) -> None:
    write(tmp_path, GOOD_LAYOUT)
    fmt = load_format("acme", tmp_path)

    def tlv(tag: bytes, content: bytes) -> bytes:
        return tag + bytes([len(content)]) + content

    number = bytes([0x91]) + records.tbcd("4930123456")
    inner = tlv(b"\x81", PGW["opening"]) + tlv(b"\xc3", number) + tlv(b"\x62", tlv(b"\xdf\x84\xa2\x70", b"call-17")) \
        + tlv(b"\xad", tlv(b"\x8a", b"\x3c")) + tlv(b"\x84", b"\x07")
    octets = tlv(b"\xff\x83\x74", inner)
    cells = fmt.decode(records.array(octets), 0, len(octets), 10).cells
    (row,) = records.readable(cells, octets)
    assert (row["record_type"], row["other_number"], row["other_number_type"]) == ("voip", "4930123456",
                                                                                   "international")
    assert (row["session_text"], row["duration_s"], row["cause_for_closing"]) == (b"call-17", 60, 4)


def test_record_types_tell_kinds_of_one_tag_apart(tmp_path: Path) -> None:
    kinds = """  - name: {0}
    when: {{tag: 79, type: {1}}}
    set: {{record_type: {2}, service: data}}
    fields: [{{from: 13, to: opening_time_us, as: timestamp9}}]
"""
    head = "name: acme\nfamily: ber\nrecord_key: [opening_time_us]\nrecords:\n"
    write(tmp_path, head + kinds.format("one", 1, "sgw") + kinds.format("other", 85, "pgw"))
    fmt = load_format("acme", tmp_path)
    assert fmt.decode(records.array(GOOD), 0, len(GOOD), 1).cells["record_type"].tolist() == [6]
    write(tmp_path, head + kinds.format("one", 85, "sgw") + kinds.format("other", 85, "pgw"))
    with pytest.raises(FormatError, match="line 9: record 'other' has the tag of another"):
        load_format("acme", tmp_path)


@pytest.mark.parametrize("name", ["tap3", "nrtrde", "ipfix", "netflow", "pcap"])
def test_formats_that_come_later_are_refused_by_name(name: str) -> None:
    with pytest.raises(FormatError, match=f"format '{name}': .* later issue"):
        load_format(name)


def test_an_unknown_format_names_those_at_hand() -> None:
    with pytest.raises(FormatError, match=r"no layout 'ts32298-gprz.yaml'.*ts32298-gprs"):
        load_format("ts32298-gprz")


@pytest.mark.parametrize("name", format_names())
def test_every_layout_that_comes_with_tarifa_is_sound(name: str) -> None:
    layout = read_layout(LAYOUTS / f"{name}.yaml")
    assert layout.family in FAMILIES and layout.description
    assert load_format(name).record_key == layout.record_key
