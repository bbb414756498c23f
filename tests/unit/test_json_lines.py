"""Newline JSON: charging data requests against Python's json, container lists, and every way to be wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.text_formats import chf_json
from mediation.formats.frame import FileFormat
from mediation.formats.registry import load_format
from mediation.kernels.json_lines import MOST_CONTAINERS, MOST_DEPTH
from schemas.codes import Reason
from schemas.columns import ABSENT
from tests.oracle.text_records import chf_containers
from tests.unit.text_layouts import layout, number, octets, reasons, text, whole

BASE: dict[str, Any] = {"chargingSessionId": "s-1", "subscriberIdentifier": "imsi-001010000000001",
                        "invocationTimeStamp": "2026-03-01T12:00:00Z", "invocationSequenceNumber": 1}


@pytest.fixture(scope="module")
def chf() -> FileFormat:
    return load_format("chf-json")


def line(**more: Any) -> str:
    return json.dumps(BASE | more) + "\n"


def check_against_oracle(form: FileFormat, data: bytes) -> None:
    cells = whole(form, data).cells
    expected = list(chf_containers(data))
    assert reasons(whole(form, data)) == ["OK"] * len(expected)
    for row, container in enumerate(expected):
        assert text(data, int(cells["session_text"][row])) == container["session"]
        assert number(int(cells["served_imsi"][row])) == container["imsi"]
        for column, key in (("partial_sequence", "sequence"), ("opening_time_us", "opening_us"),
                            ("start_time_us", "start_us"), ("rating_group", "rating_group"),
                            ("service_identifier", "service"), ("uplink_octets", "uplink"),
                            ("downlink_octets", "downlink"), ("duration_s", "duration_s"),
                            ("charging_id", "charging_id")):
            wanted = ABSENT if container[key] is None else container[key]
            assert int(cells[column][row]) == wanted, (column, row)


def test_generated_requests_are_read_as_python_reads_them(chf: FileFormat) -> None:
    check_against_oracle(chf, chf_json(200))


def test_keys_in_any_order_unknown_keys_totals_and_empty_lists(chf: FileFormat) -> None:
    lines = [
        line(multipleUnitUsage=[{"usedUnitContainer": [{"totalVolume": 70}, {"uplinkVolume": 1, "totalVolume": 9}],
                                 "ratingGroup": 10}, {"ratingGroup": 20, "requestedUnit": {"time": 5}},
                                {"ratingGroup": 30, "usedUnitContainer": [{"time": "12", "serviceId": 4}]}]),
        line(multipleUnitUsage=[]), line(), line(multipleUnitUsage=[{"ratingGroup": 1, "usedUnitContainer": []}]),
        line(odd={"multipleUnitUsage": [{"usedUnitContainer": [{"totalVolume": 1}]}], "x": [[{"time": 9}], None, True]},
             notifyUri='http://a/"q"\\é', triggers=[{"a": {"b": [1, 2.5e3, -0.1]}}]),
    ]
    backwards = reversed(list(json.loads(lines[0]).items()))
    turned = "{" + ", ".join(f'"{k}" : {json.dumps(v)}' for k, v in backwards) + "}\n"
    check_against_oracle(chf, "".join([*lines, turned]).replace('"12"', "12").encode())
    quoted = whole(chf, lines[0].encode()).cells
    assert int(quoted["duration_s"][2]) == 12  # a number written as text


def test_a_record_without_containers_gives_one_row_without_usage(chf: FileFormat) -> None:
    cells = whole(chf, line().encode()).cells
    assert len(cells) == 1 and int(cells["uplink_octets"][0]) == ABSENT and int(cells["container_count"][0]) == 1


@pytest.mark.parametrize(("bad", "reason"), [
    ('{"chargingSessionId": }\n', Reason.MALFORMED_RECORD),
    ('{"a": 1,}\n', Reason.MALFORMED_RECORD),
    ('{"a" 1}\n', Reason.MALFORMED_RECORD),
    ('{"a": 01}\n', Reason.MALFORMED_RECORD),
    ('{"a": tru}\n', Reason.MALFORMED_RECORD),
    ('{"a": [1 2]}\n', Reason.MALFORMED_RECORD),
    ('{"a": "x}\n', Reason.MALFORMED_RECORD),
    ('{"a": 1}}\n', Reason.MALFORMED_RECORD),
    ('{"a": [1}\n', Reason.MALFORMED_RECORD),
    ('[1]\n', Reason.MALFORMED_RECORD),
    ('hello\n', Reason.MALFORMED_RECORD),
    ('{"a":' + "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1) + "}\n", Reason.MALFORMED_RECORD),
    ("{}\n", Reason.MISSING_FIELD),
    (line(invocationSequenceNumber="one"), Reason.BAD_VALUE),
    (line(invocationTimeStamp="2026-02-30T00:00:00Z"), Reason.BAD_TIME),
    (line(multipleUnitUsage=[{"usedUnitContainer": [{"time": 1}, {"time": -1}]}]), Reason.NEGATIVE_QUANTITY),
    (line(multipleUnitUsage=[{"usedUnitContainer": [{"totalVolume": 1, "uplinkVolume": 2}]}]),
     Reason.NEGATIVE_QUANTITY),
    (line(multipleUnitUsage=[{"usedUnitContainer": [{}] * (MOST_CONTAINERS + 1)}]), Reason.TOO_MANY_CONTAINERS),
    ('{"a": "' + "x" * (1 << 20) + '"}\n', Reason.UNFRAMED_BYTES),
])
def test_each_wrong_line_has_its_reason_and_the_next_is_read(chf: FileFormat, bad: str, reason: Reason) -> None:
    assert reasons(whole(chf, (line() + bad + line()).encode())) == ["OK", reason.name, "OK"]


def test_the_most_containers_are_read_and_a_cut_line_is_truncated(chf: FileFormat) -> None:
    full = line(multipleUnitUsage=[{"usedUnitContainer": [{"time": i} for i in range(MOST_CONTAINERS)]}])
    cells = whole(chf, (line() + full + line()).encode()).cells
    assert len(cells) == MOST_CONTAINERS + 2 and list(cells["duration_s"][1:4]) == [0, 1, 2]
    for cut in range(1, len(line()) - 2):
        assert reasons(whole(chf, line().encode() + line()[:cut].encode())) == ["OK", "TRUNCATED_RECORD"], cut


def test_escapes_are_read_by_conversions_and_kept_in_text(chf: FileFormat) -> None:
    raw = line(chargingSessionId="a/b", subscriberIdentifier="imsi-00101")
    data = raw.replace("a/b", "a\\/b").replace("imsi-00101", "\\u0069msi-0010\\u0031").encode()
    cells = whole(chf, data).cells
    assert text(data, int(cells["session_text"][0])) == "a\\/b"
    assert number(int(cells["served_imsi"][0])) == "00101"


def test_decoding_is_the_same_however_it_is_cut(chf: FileFormat) -> None:
    buffer = octets(chf_json(60))
    together = chf.decode(buffer, 0, len(buffer), 1000)
    at, row = 0, 0
    while at < len(buffer):
        part = chf.decode(buffer, at, len(buffer), 7)
        assert (part.cells.matrix == together.cells.matrix[:, row:row + len(part.cells)]).all()
        at, row = part.next_offset, row + len(part.cells)
    assert row == len(together.cells) == 120


def test_one_list_several_kinds_and_dots_in_keys(tmp_path: Path) -> None:
    form = layout(tmp_path, r"""
family: json
record_key: [start_time_us]
records:
  - name: data
    when: {kind: [d, data]}
    set: {service: data}
    fields:
      - {from: 'net\.id', to: charging_id, as: int}
    containers:
      - from: uses[]
        fields:
          - {from: octets, to: uplink_octets, as: quantity}
          - {from: ../at, to: start_time_us, as: epoch, unit: ms}
  - name: text message
    when: {kind: s}
    set: {service: sms, message_count: 1}
    fields:
      - {from: at, to: start_time_us, as: epoch, unit: ms}
""")
    data = b'{"kind":"d","net.id":7,"at":1000,"uses":[{"octets":1},{"octets":2}]}\n{"kind":"s","at":5}\n{"kind":"?"}\n'
    decoded = whole(form, data)
    assert reasons(decoded) == ["OK", "OK", "OK", "UNKNOWN_RECORD_TYPE"]
    assert list(decoded.cells["uplink_octets"]) == [1, 2, ABSENT, ABSENT]
    assert list(decoded.cells["start_time_us"]) == [1_000_000, 1_000_000, 5_000, ABSENT]
    assert list(decoded.cells["charging_id"]) == [7, 7, ABSENT, ABSENT]
    assert list(decoded.cells["message_count"]) == [ABSENT, ABSENT, 1, ABSENT]


def test_describe_shows_the_object_even_when_it_is_none(chf: FileFormat) -> None:
    data = line().encode()
    assert chf.describe(octets(data), 0, len(data))["object"] == BASE
    broken = chf.describe(octets(b"{oops\n"), 0, 6)
    assert "not JSON" in broken["object"]  # type: ignore[operator]
    assert broken["read_as"][0]["status"] == "malformed_record"  # type: ignore[index]
