"""The official samples: VoIP CSV, radclient's RADIUS packets, and what is refused by name."""

import csv
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from mediation.formats.check import check_sample
from mediation.formats.refusals import refuse, sniff
from mediation.formats.registry import LAYOUTS, load_format
from schemas.codes import NumberType, Reason
from schemas.columns import ABSENT
from schemas.digits import pack
from tests.unit.text_layouts import text, whole

pytestmark = pytest.mark.standards


@pytest.fixture(scope="module")
def samples() -> Path:
    folder = os.environ.get("TARIFA_STANDARDS", "")
    assert folder, "set TARIFA_STANDARDS to the folder with the official texts and samples"
    return Path(folder) / "samples"


def test_every_call_of_the_voip_sample_is_read_as_python_reads_it(samples: Path) -> None:
    path = samples / "voip-cdr-csv" / "cdr-stats_import_cdr_100.txt"
    data = path.read_bytes()
    cells = whole(load_format("cdr-stats-csv"), data).cells
    calls = list(csv.reader(data.decode().splitlines(), skipinitialspace=True))
    assert len(cells) == len(calls) == 100
    for row, (caller, _, callee, _, billsec, _, uuid, epoch) in enumerate(calls):
        if int(billsec) < 0:  # one call of the sample lasted -6 seconds
            assert int(cells["status"][row]) == Reason.NEGATIVE_QUANTITY
            continue
        assert int(cells["served_number"][row]) == pack(caller) and int(cells["other_number"][row]) == pack(callee)
        assert int(cells["duration_s"][row]) == int(billsec) and int(cells["answered"][row]) == (int(billsec) > 0)
        assert int(cells["start_time_us"][row]) == int(epoch) * 1_000_000
        assert text(data, int(cells["session_text"][row])) == uuid
    assert check_sample(LAYOUTS / "cdr-stats-csv.yaml", path).reasons == {"negative_quantity": 1, "ok": 99}


def test_the_packets_of_radclient_are_read_one_after_another(samples: Path) -> None:
    packets = [(samples / "synthetic" / f"radclient-acct-{i}.bin").read_bytes() for i in range(3)]
    data = b"".join(packets)
    cells = whole(load_format("radius-accounting"), data).cells
    assert list(cells["status"]) == [0, 0, 0]
    assert list(cells["record_length"]) == [struct.unpack(">H", packet[2:4])[0] for packet in packets]
    assert list(cells["duration_s"]) == [0, 300, 600]
    assert list(cells["uplink_octets"]) == [0, 0x100000, 0x200000]
    assert list(cells["downlink_octets"]) == [0, 0xFFFFFED8, (1 << 32) + 0x1000]
    assert list(cells["cause_for_closing"]) == [1, 1, 0]
    assert list(cells["start_time_us"]) == [ABSENT] * 3  # radclient sent no Event-Timestamp
    for row in range(3):
        assert int(cells["served_imsi"][row]) == pack("240011234567890")
        assert int(cells["served_number"][row]) == pack("46701234567")
        assert int(cells["served_number_type"][row]) == NumberType.UNKNOWN
        assert int(cells["charging_id"][row]) == 1234567 and int(cells["serving_plmn"][row]) == 240001
        assert int(cells["served_address"][row]) == 0x0A141E28 and int(cells["rat_type"][row]) == 6
        assert text(data, int(cells["session_text"][row])) == "0A000001-00000042"


@pytest.mark.parametrize(("pattern", "name", "says"), [
    ("netflow-ipfix/ipfix_*.dat", "ipfix", "IPFIX"), ("netflow-ipfix/netflow*.dat", "netflow", "NetFlow"),
    ("synthetic/softflowd-ipfix-0.bin", "ipfix", "IPFIX"), ("synthetic/tap0312-20-moc.tap", "tap3", "TAP 3"),
    ("radius/*.pcap", "pcap", "packet capture"), ("synthetic/*.pcapng", "pcap", "packet capture"),
])
def test_samples_of_later_formats_are_refused_by_name(samples: Path, pattern: str, name: str, says: str) -> None:
    found = sorted(samples.glob(pattern))
    assert found
    for path in found:
        buffer = np.fromfile(path, np.uint8)
        assert sniff(buffer) == name
        message = str(refuse("voip-csv", buffer))
        assert says in message and "comes with a later issue" in message


@pytest.mark.parametrize(("name", "seen"), [
    ("pgw-cdr.ber", "ber"), ("chf-cdr.ber", "ber"), ("three-records.ts32297.dat", "ts32297"),
    ("radclient-acct-0.bin", "radius"), ("chf-cdr.decoded.json", "json"),
])
def test_samples_that_are_read_are_recognised(samples: Path, name: str, seen: str) -> None:
    assert sniff(np.fromfile(samples / "synthetic" / name, np.uint8)) == seen
