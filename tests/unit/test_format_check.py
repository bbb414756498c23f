"""Layouts that are wrong say where and what to do; files that are something else are named."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from benchmarks.text_formats import chf_json, radius, voip_csv
from mediation.formats.check import check_layout, check_sample
from mediation.formats.refusals import refuse, sniff
from mediation.formats.registry import LAYOUTS, REFUSED, load_format
from schemas.errors import FormatError
from tests.unit.text_layouts import octets

HEAD = "name: bad\nfamily: {family}\nrecord_key: [start_time_us]\n"


def problem(tmp_path: Path, body: str, family: str = "csv") -> str:
    path = tmp_path / "bad.yaml"
    path.write_text(HEAD.format(family=family) + body, encoding="utf-8")
    problems = check_layout(path)
    assert len(problems) == 1
    return problems[0]


def field(text: str, options: str = "") -> str:
    return f"csv: {{columns: [x]{options}}}\nrecords:\n  - name: r\n    fields:\n      - {{from: x, {text}}}\n"


@pytest.mark.parametrize("path", sorted(LAYOUTS.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_layouts_that_come_with_tarifa_are_sound(path: Path) -> None:
    assert check_layout(path) == []


@pytest.mark.parametrize(("body", "line", "says"), [
    (field("to: nowhere, as: int"), 8, "unknown column 'nowhere'"),
    (field("to: duration_s, as: guess"), 8, "unknown conversion 'guess'"),
    (field("to: duration_s, as: tbcd"), 8, "'tbcd' is not for csv"),
    (field("to: duration_s, as: int, colour: red"), 8, "unknown option 'colour'"),
    (field("to: duration_s, as: text"), 8, "duration_s holds no text"),
    (field("to: duration_s, as: quantity, round: sideways"), 8, "round 'sideways'"),
    (field("to: duration_s, as: int, multiply: 0"), 8, "multiply '0'"),
    (field("to: duration_s, as: int, combine: divide"), 8, "combine 'divide'"),
    (field("to: start_time_us, as: iso-time, zone: CET"), 8, "zone 'CET'"),
    (field("to: start_time_us, as: epoch, unit: h"), 8, "unit 'h'"),
    (field("to: start_time_us, as: pattern-time"), 8, "without 'pattern'"),
    (field("to: answered, as: map"), 8, "without 'values'"),
    (field("to: service, as: map, values: {V: vocie}"), 8, "service 'vocie'"),
    (field("to: served_number, as: number, number_type: odd"), 8, "number_type 'odd'"),
    (field("to: charging_id, as: int", ", delimiter: ab"), 4, "'ab'"),
    (field("to: charging_id, as: int", ", speed: 3"), 4, "unknown key 'speed'"),
    (field("to: charging_id, as: int", ", header: true"), 4, "'columns' and 'header'"),
    (field("to: charging_id, as: int", ", skip_lines: -1"), 4, "skip_lines '-1'"),
    (field("to: charging_id, as: int", ", trailer: {records: 2}"), 4, "'trailer' without 'starts'"),
    (field("to: charging_id, as: int", ", nulls: [no]"), 4, "is no text"),
    ("records:\n  - name: r\n    fields:\n      - {from: y, to: charging_id, as: int}\n", 7, "unknown column 'y'"),
    ("records:\n  - name: r\n    containers:\n      - {from: a, fields: [{from: 1, to: charging_id, as: int}]}\n", 7,
     "containers in a csv layout"),
    ("csv: {columns: [x]}\nrecords:\n  - {name: a, when: {x: A}}\n  - {name: b}\n", 7, "has 0 conditions"),
    ("csv: {columns: [x, y]}\nrecords:\n  - {name: a, when: {x: A}}\n  - {name: b, when: {y: B}}\n", 7, "told by 'y'"),
    ("csv: {columns: [x]}\nrecords:\n  - {name: a, when: {x: A}}\n  - {name: b, when: {x: A}}\n", 7, "two records"),
    ("csv: {columns: [x]}\nrecords:\n  - name: a\n    derive: [{to: duration_s, as: remainder, from: [_a]}]\n", 7,
     "remainder from 1"),
    ("csv: {columns: [x]}\nrecords:\n  - name: a\n    derive: [{to: duration_s, as: choose, from: [_a]}]\n", 7,
     "choose without 'by'"),
])
def test_each_mistake_in_a_csv_layout_names_its_line(tmp_path: Path, body: str, line: int, says: str) -> None:
    message = problem(tmp_path, body)
    assert message.startswith(f"bad.yaml, line {line}: ") and says in message


@pytest.mark.parametrize(("family", "body", "says"), [
    ("json", "records:\n  - name: r\n    fields: [{from: 'a[0]', to: charging_id, as: int}]\n", "path 'a[0]'"),
    ("json", "records:\n  - name: r\n    containers: [{from: a, fields: []}]\n", "list 'a'"),
    ("json", "records:\n  - name: r\n    containers: [{from: 'a[]', fields: []}, {from: 'b[]', fields: []}]\n",
     "a second list"),
    ("json", "json: {header: true}\nrecords:\n  - name: r\n", "unknown key 'header'"),
    ("fixed", "records:\n  - name: r\n    fields: [{from: 9-3, to: charging_id, as: int}]\n", "octets '9-3'"),
    ("fixed", "fixed: {record_octets: 2}\nrecords:\n  - name: r\n    fields: [{from: 1-3, to: charging_id, as: int}]\n",
     "record_octets 2"),
    ("radius", "records:\n  - name: r\n    fields: [{from: Acct-Colour, to: charging_id, as: uint}]\n",
     "unknown attribute 'Acct-Colour'"),
    ("radius", "radius: {counters: wild}\nrecords:\n  - name: r\n", "counters 'wild'"),
    ("radius", "records:\n  - name: r\n    when: {Acct-Status-Type: Stop}\n", "expected whole numbers"),
    ("smoke", "records:\n  - name: r\n", "unknown family 'smoke'"),
])
def test_each_mistake_in_other_layouts_is_named(tmp_path: Path, family: str, body: str, says: str) -> None:
    assert says in problem(tmp_path, body, family)


def test_a_sample_shows_rows_rejects_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    data = voip_csv(30).replace(b"originating", b"sideways", 1)
    path.write_bytes(data)
    sample = check_sample(LAYOUTS / "voip-csv.yaml", path, most=5)
    assert (sample.records, sample.reasons) == (30, {"ok": 29, "unknown_record_type": 1})
    assert len(sample.rows) == 5 and sample.rows[0]["service"] == "voice" and "start_time_us" in sample.columns
    assert sample.rejects[0]["reason"] == "unknown_record_type" and "sideways" in sample.rejects[0]["bytes"]
    assert sample.problems == ()


def test_a_sample_that_is_something_else_or_lies_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_bytes(voip_csv(3).replace(b"TRAILER,3", b"TRAILER,4"))
    assert check_sample(LAYOUTS / "voip-csv.yaml", path).problems == ("the file says it has 4 records, 3 were found",)
    path.write_bytes(gzip.compress(voip_csv(3)))
    assert "a gzip archive" in check_sample(LAYOUTS / "voip-csv.yaml", path).problems[0]
    with pytest.raises(FormatError, match="name the sample's path"):
        check_sample(LAYOUTS / "voip-csv.yaml", tmp_path / "none")


@pytest.mark.parametrize(("data", "name"), [
    (struct.pack(">HH", 10, 40) + bytes(36), "ipfix"), (struct.pack(">HH", 9, 2) + bytes(40), "netflow"),
    (struct.pack(">HH", 5, 1) + bytes(68), "netflow"), (b"\xd4\xc3\xb2\xa1" + bytes(20), "pcap"),
    (b"\x0a\x0d\x0d\x0a" + bytes(20), "pcap"), (b"\x61\x80\x64\x81\x05\x5f\x81\x44\x01A\x00\x00", "tap3"),
    (b"\x61\x0a\x5f\x29\x01\x02\x5f\x25\x01\x01\x00\x00", "nrtrde"), (b"", "empty"), (b"<cdr/>", "xml"),
    (b"PAR1....", "parquet"), (b"PK\x03\x04..", "zip"), (b"\xff\xfea\x00", "utf16"), (b"\x00\x01\x02\x03", "unknown"),
    (b"\xbf\x4f\x02\x80\x00", "ber"), (b"{}\n", "json"), (b"a;b\n", "text"),
])
def test_what_a_file_seems_to_be(data: bytes, name: str) -> None:
    assert sniff(octets(data)) == name
    message = str(refuse("voip-csv", octets(data)))
    assert ("comes with a later issue" in message) == (name in REFUSED)


def test_our_own_formats_are_recognised_and_refused_ones_named() -> None:
    assert [sniff(octets(made(3))) for made in (voip_csv, chf_json, radius)] == ["text", "json", "radius"]
    for name in REFUSED:
        with pytest.raises(FormatError, match="comes with a later issue"):
            load_format(name)


def test_sniffing_never_raises_on_bytes() -> None:
    random = np.random.default_rng(5)
    for size in range(0, 300, 3):
        assert sniff(random.integers(0, 256, size).astype(np.uint8))
