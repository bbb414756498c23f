"""What the full tariff model looks at, from the bytes of a file to the rated price: segments, slices, categories."""

import json
from pathlib import Path

import pytest

from tests.ber_records import encode, file_of
from tests.integration.hand_made import ANNA, DAY, HandMade
from tests.integration.hand_made import usage as usage_line
from tests.integration.site import put

LAYOUT = """
name: messages
family: csv
description: short messages of a gateway, one line each
record_key: [start_time_us, local_sequence]
csv: {header: true}
records:
  - name: message
    set: {record_type: sms_mo, service: sms, direction: originating, message_count: 1, answered: 1}
    fields:
      - {from: number, to: local_sequence, as: int}
      - {from: time, to: start_time_us, as: iso-time}
      - {from: from, to: served_number, as: number}
      - {from: to, to: other_number, as: number}
      - {from: parts, to: segments, as: int}
      - {from: kind, to: category_text, as: text}
    required: [start_time_us, served_number]
"""
NAME = r"[a-z]+-?[0-9]*_(?P<sequence>[0-9]+)_(?P<time>[0-9]{14})\.[a-z]+"
STREAMS = [{"name": "messages", "sources": "smsgw-*", "format": "messages", "file_name": NAME},
           {"name": "chf", "sources": "chf-*", "format": "chf-json", "file_name": NAME},
           {"name": "chfber", "sources": "chfber-*", "format": "ts32298-chf", "file_name": NAME}]
TARIFF = """version: "2026"
active_from: 2026-01-01T00:00:00
time_zone: Europe/Berlin
currency: EUR
decks: {main: decks/main.csv}
data_classes:
  - {class: sensors, snssais: [3-00abcd]}
  - {class: urgent, snssais: ["2"]}
  - {class: internet}
rates:
  part: {unit: segment, slots: [{price: 0.05}]}
  votes: {unit: segment, slots: [{price: 0.50}]}
  octet: {unit: octet, slots: [{price: 0.01, per: 1 kB}]}
  urgent: {unit: octet, slots: [{price: 0.07, per: 1 kB}]}
  sensors: {unit: octet, slots: [{price: 0.001, per: 1 kB}]}
plans:
  prepaid-basic:
    prices:
      - {service: sms, rate: part}
      - {service: sms, categories: [voting], rate: votes}
      - {service: data, zones: [internet], rate: octet}
      - {service: data, zones: [urgent], rate: urgent}
      - {service: data, zones: [sensors], rate: sensors}
"""


@pytest.fixture
def site(tmp_path: Path, keys: Path) -> HandMade:
    site = HandMade(tmp_path, keys)
    site.reference.streams = [dict(stream) for stream in STREAMS]
    site.reference.write(site.input.operator)
    (site.own_tariffs() / "2026.yaml").write_text(TARIFF)
    (site.input.operator / "formats").mkdir()
    (site.input.operator / "formats" / "messages.yaml").write_text(LAYOUT)
    return site


def charged(site: HandMade) -> list[str]:
    site.run()
    assert not site.rows("suspense")
    return [f"{row['charge_nanos'] / 1e9:.3f}" for row in site.rows("rated")]


def test_messages_are_priced_by_segment_and_by_category(site: HandMade) -> None:
    lines = [(1, 1, ""), (2, 3, "chat"), (3, "", ""), (4, 0, ""), (5, 2, "voting")]
    text = "number,time,from,to,parts,kind\n" + "".join(
        f"{number},2026-10-21T08:0{number}:00Z,+{ANNA[1]},+33123456789,{parts},{kind}\n"
        for number, parts, kind in lines)
    put(site.input.inbox, "smsgw-01", f"smsgw-01_000001_{DAY}090000.csv", text.encode())
    # One segment each; three; not counted, and counted as none: one message, one segment; two of a vote.
    assert charged(site) == ["0.050", "0.150", "0.050", "0.050", "1.000"]
    assert [(row["segments"], row["category"]) for row in site.rows("usage")] == [
        (1, None), (3, "chat"), (None, None), (None, None), (2, "voting")]


def test_a_slice_that_a_charging_data_request_names_has_its_own_price(site: HandMade) -> None:
    lines = []
    named = [{"sst": 3, "sd": "00ABCD"}, {"sst": 2, "sd": "FFFFFF"}, {"sst": 2}, {"sst": 3}, None]
    for number, single in enumerate(named, 1):
        line = json.loads(usage_line(f"s{number}", 1, f"08:0{number}", 10_000, final=True))
        if single is not None:
            line["pDUSessionChargingInformation"]["pduSessionInformation"]["networkSlicingInfo"] = {"sNSSAI": single}
        lines.append(json.dumps(line) + "\n")
    put(site.input.inbox, "chf-01", f"chf-01_000001_{DAY}090000.json", "".join(lines).encode())
    assert charged(site) == ["0.010", "0.700", "0.700", "0.100", "0.100"]
    assert [row["snssai"] for row in site.rows("usage")] == [
        (3 << 32) + 0xABCD + 1, 2 << 32, 2 << 32, 3 << 32, None], "SD FFFFFF stands for none (TS 23.003)"


def test_a_slice_that_a_ber_record_of_a_chf_names_has_its_own_price(site: HandMade) -> None:
    stamp = bytes.fromhex("261021080000") + b"+" + bytes.fromhex("0000")
    records = []
    for number, single in enumerate([{"sst": 3, "sd": bytes.fromhex("00abcd")}, {"sst": 2}], 1):
        session = {"chargingId": number, "sessionId": 1, "dnn": "internet", "slice": single}
        records.append(encode("ChfRecord", "chf", {
            "recordType": 200, "function": "chf", "consumer": {"role": "smf"}, "opening": stamp, "duration": 1,
            "cause": 0, "identifier": b"s%d" % number, "session": session, "sequence": 1, "localSequence": number,
            "subscriber": {"type": "imsi", "text": f"imsi-{ANNA[2]}"},
            "usage": [{"ratingGroup": 1, "containers": [{"up": 4000, "down": 6000}]}]}))
    put(site.input.inbox, "chfber-01", f"chfber-01_000001_{DAY}090000.dat", file_of(records))
    assert charged(site) == ["0.010", "0.700"]
