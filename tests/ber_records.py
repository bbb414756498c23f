"""Records for the BER tests: made by hypothesis, encoded by asn1tools, and cells made readable for comparison."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import asn1tools
import numpy as np
from hypothesis import strategies as st

from mediation.formats.ber import BerFormat
from mediation.formats.registry import load_format
from schemas.codes import Reason
from schemas.columns import U8, Cells, code_names
from schemas.decoded import DECODED
from schemas.digits import unpack
from tests.oracle import ber as oracle

GRAMMAR = Path(__file__).parent / "grammar" / "cdr.asn"
FRAMING = ("status", "status_offset", "record_offset", "record_length", "container_index", "container_count")
DIGITS = {"served_imsi", "served_imei"}
NUMBERS = {"served_number", "other_number", "forwarded_number"}
TEXTS = {"session_text", "apn_text"}


@cache
def grammar() -> Any:
    return asn1tools.compile_files([str(GRAMMAR)], "ber")


@cache
def loaded(layout: str) -> BerFormat:
    """A layout, compiled once for all tests."""
    fmt = load_format(layout)
    assert isinstance(fmt, BerFormat)
    return fmt


def bcd(number: int) -> int:
    return number // 10 << 4 | number % 10


def tbcd(digits: str) -> bytes:
    padded = digits + "f" * (len(digits) % 2)
    return bytes(int(padded[i + 1] + padded[i], 16) for i in range(0, len(padded), 2))


def stamp(moment: datetime, offset_minutes: int) -> bytes:
    sign = 0x2B if offset_minutes >= 0 else 0x2D
    away = abs(offset_minutes)
    return bytes([bcd(moment.year % 100), bcd(moment.month), bcd(moment.day), bcd(moment.hour), bcd(moment.minute),
                  bcd(moment.second), sign, bcd(away // 60), bcd(away % 60)])


digits = st.text("0123456789", min_size=1, max_size=15)
moments = st.datetimes(datetime(2000, 1, 2), datetime(2078, 12, 30)).map(lambda m: m.replace(microsecond=0))
stamps = st.builds(stamp, moments, st.integers(-720, 840))
tbcds = digits.map(tbcd)
imeis = st.text("0123456789", min_size=16, max_size=16).map(tbcd)
addresses = st.builds(lambda nature, number: bytes([0x81 | nature << 4]) + tbcd(number), st.integers(0, 7),
                      st.text("0123456789", max_size=15))
directory = st.one_of(addresses, st.builds(lambda number: bytes([0x11, 0x81]) + tbcd(number), digits))
sms_addresses = st.one_of(
    addresses.filter(lambda octets: octets[0] >> 4 & 7 != 5), st.just(bytes([0xD0, 0x41, 0x42])),
    st.builds(lambda number: bytes([len(number), 0x91]) + tbcd(number), digits))
plmns = st.builds(lambda a, b, c, d, e, f: bytes([b << 4 | a, f << 4 | c, e << 4 | d]),
                  *[st.integers(0, 9)] * 5, st.sampled_from([0, 3, 9, 15]))
counts = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))
volumes = st.one_of(st.integers(0, 300), st.integers(0, 2**40))
v4, v6 = st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)
ips = st.one_of(st.tuples(st.just("v4"), v4), st.tuples(st.just("v6"), v6), st.just(("v6text", "2001:db8::17")),
                st.tuples(st.just("v4text"), v4.map(lambda o: ".".join(str(b) for b in o))))
binary_ip = st.tuples(st.just("v4"), v4)
names = st.text("abcdefghijklmnopqrstuvwxyz.", min_size=1, max_size=30)
uris = st.one_of(
    digits.map(lambda n: ("tel", f"tel:+{n}")), digits.map(lambda n: ("sip", f"sip:+{n}@ims.example;user=phone")),
    digits.map(lambda n: ("sip", f"sip:{n};npdi@example.org")), st.just(("sip", "sip:alice@example.org")),
    st.just(("tel", "tel:+49-30.(123)45;isub=7")), st.just(("sip", "sip:10.0.0.1")), st.just(("tel", "TEL:112")),
    digits.map(lambda n: ("e164", n)))


def record(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


_services = record({"ratingGroup": counts, "conditions": st.just((b"\x80", 1)), "reported": stamps},
                   {"localSequence": counts, "firstUsage": stamps, "lastUsage": stamps, "timeUsage": counts,
                    "up": volumes, "down": volumes, "identifier": counts})
_changes = record({"condition": st.sampled_from(["qos", "tariff"]), "changed": stamps},
                  {"up": volumes, "down": volumes, "rat": st.integers(0, 255)})
_packet = {"imsi": tbcds, "apn": names, "subscriberAddress": st.tuples(st.just("ip"), ips), "sequence": counts,
           "volumes": st.lists(_changes, max_size=4), "localSequence": counts, "msisdn": addresses,
           "servingPlmn": plmns, "imei": imeis, "rat": st.integers(0, 255), "started": stamps}
_packet_required = {"chargingId": counts, "servingNodes": st.lists(binary_ip, max_size=2), "opening": stamps,
                    "duration": counts, "cause": st.integers(0, 60)}
pgw = record({**_packet_required, "recordType": st.just(85), "gateway": ips.filter(lambda a: a[0] == "v4")},
             {**_packet, "services": st.lists(_services, max_size=5), "dynamic": st.booleans(), "nodeId": names,
              "stopped": stamps, "secondAddress": st.tuples(st.just("ip"), binary_ip),
              "extensions": st.just([{"identifier": "1.2.3", "information": b"anything"}])})
sgw = record({**_packet_required, "recordType": st.just(84), "servingGateway": binary_ip},
             {**_packet, "gateway": binary_ip})


@st.composite
def _used(draw: st.DrawFn) -> dict[str, Any]:
    item = draw(record({}, {"identifier": counts, "time": counts, "triggered": stamps, "up": volumes, "down": volumes,
                            "pdu": record({}, {"firstUsage": stamps, "rat": st.integers(0, 255)})}))
    if draw(st.booleans()):
        rest = draw(counts) if "up" not in item or "down" not in item else 0
        item["total"] = item.get("up", 0) + item.get("down", 0) + rest
    return item


_subscriber = st.one_of(
    digits.map(lambda n: {"type": "e164", "text": n}), digits.map(lambda n: {"type": "imsi", "text": n}),
    digits.map(lambda n: {"type": "imsi", "text": f"imsi-{n}"}),
    st.just({"type": "nai", "text": "someone@example.org"}),
    digits.map(lambda n: {"type": "e164", "text": f"msisdn-{n}"}))
_session = record({"chargingId": counts, "sessionId": st.integers(0, 255)},
                  {"user": uris, "rat": st.integers(0, 255), "dnn": names, "started": stamps, "plmn": plmns,
                   "slice": record({"sst": st.integers(0, 255)}, {"sd": st.binary(min_size=3, max_size=3)}),
                   "address": record({}, {"v4": binary_ip, "v6": st.tuples(st.just("v6"), v6)})})
chf = record({"recordType": st.just(200), "function": names, "opening": stamps, "duration": counts,
              "cause": st.integers(0, 60), "consumer": record({"role": st.just("smf")}, {"address": binary_ip})},
             {"subscriber": _subscriber, "session": _session, "sequence": counts, "localSequence": counts,
              "identifier": st.binary(max_size=24), "chargingId": counts,
              "usage": st.lists(record({"ratingGroup": counts}, {"containers": st.lists(_used(), max_size=3)}),
                                max_size=3)})

_location = record({"area": st.just(b"\1\2"), "cell": st.just(b"\3\4")}, {"plmn": plmns})
_call = {"imei": imeis, "msisdn": addresses, "location": _location, "seizure": stamps, "sequence": counts}
_call_required = {"recording": addresses, "duration": counts, "cause": st.integers(0, 5),
                  "reference": st.binary(max_size=8)}
_supplementary = st.lists(st.fixed_dictionaries({"code": st.sampled_from([b"\x21", b"\x2a", b"\x11", b"\x41"])}),
                          max_size=2)
_diagnosis = st.just(("cause", 21))
circuit = st.one_of(
    st.tuples(st.just("mo"), record({**_call_required, "recordType": st.just(0), "answer": stamps},
                                    {**_call, "imsi": tbcds, "called": directory, "services": _supplementary,
                                     "release": stamps})),
    st.tuples(st.just("mo"), record({**_call_required, "recordType": st.just(0), "seizure": stamps}, {})),
    st.tuples(st.just("mt"), record({**_call_required, "recordType": st.just(1), "imsi": tbcds, "answer": stamps},
                                    {**_call, "calling": directory})),
    st.tuples(st.just("mtrf"), record({"recordType": st.just(88), "imsi": tbcds, "duration": counts,
                                       "cause": st.integers(0, 5), "reference": st.binary(max_size=8),
                                       "answer": stamps}, {"msisdn": addresses, "roaming": addresses})),
    st.tuples(st.just("moSms"), record({"recordType": st.just(6), "imsi": tbcds, "classmark": st.just(b"\x57"),
                                        "centre": addresses, "recording": addresses, "sent": stamps,
                                        "reference": st.binary(max_size=2)},
                                       {"msisdn": addresses, "result": _diagnosis, "destination": sms_addresses})),
    st.tuples(st.just("mtSms"), record({"recordType": st.just(7), "centre": addresses, "imsi": tbcds,
                                        "classmark": st.just(b"\x57"), "recording": addresses, "delivered": stamps},
                                       {"msisdn": addresses, "result": _diagnosis})))


@st.composite
def _sip_session(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    choice, kind = draw(st.sampled_from([("scscf", 63), ("pcscf", 64), ("icscf", 65), ("mgcf", 67), ("as", 69),
                                         ("mmtel", 83)]))
    value = draw(record({"requested": stamps, "callId": names},
                        {"role": st.sampled_from(["originating", "terminating"]), "method": st.just("INVITE"),
                         "calling": st.lists(uris, max_size=3), "called": uris, "localSequence": counts,
                         "sequence": counts, "icid": st.binary(min_size=1, max_size=20),
                         "cause": st.sampled_from(["success", "failure", "timeLimit", "change", "intervention"])}))
    if draw(st.booleans()):
        moment = draw(moments)
        value["answered"] = stamp(moment, 60)
        seconds = draw(st.integers(1, 80_000))
        value["ended"] = stamp(datetime.fromtimestamp(moment.replace(tzinfo=UTC).timestamp() + seconds, UTC), 60)
        if draw(st.booleans()):
            value["answeredMs"], value["endedMs"] = draw(st.integers(0, 999)), draw(st.integers(0, 999))
    value["recordType"] = kind
    return choice, value


session = _sip_session()
_correspondent = record({}, {"imsi": tbcds, "msisdn": addresses,
                             "other": st.sampled_from([{"type": "short", "text": "4711"},
                                                       {"type": "alphanumeric", "text": "BANK"}])})
short_message = st.one_of(
    st.tuples(st.just("mo"), record({"recordType": st.just(93), "node": addresses, "event": stamps,
                                     "reference": st.binary(max_size=2)},
                                    {"originator": _correspondent, "recipients": st.lists(_correspondent, max_size=3),
                                     "rat": st.integers(0, 255), "result": _diagnosis, "localSequence": counts})),
    st.tuples(st.just("mt"), record({"recordType": st.just(94), "node": addresses, "event": stamps},
                                    {"originator": _correspondent, "recipient": _correspondent,
                                     "reference": st.binary(max_size=2), "result": _diagnosis,
                                     "localSequence": counts})))

# layout -> (type of the grammar, records as (choice, value), what they should say)
FAMILIES: dict[str, tuple[str, st.SearchStrategy[tuple[str, dict[str, Any]]], Any]] = {
    "ts32298-gprs": ("PacketRecord", st.one_of(st.tuples(st.just("pgw"), pgw), st.tuples(st.just("sgw"), sgw)),
                     lambda choice, value: oracle.packet(value, choice)),
    "ts32298-chf": ("ChfRecord", st.tuples(st.just("chf"), chf), lambda _, value: oracle.chf(value)),
    "ts32298-cs": ("CircuitRecord", circuit, oracle.circuit),
    "ts32298-ims": ("SessionRecord", session, oracle.session),
    "ts32298-sms": ("ShortMessageRecord", short_message, oracle.short_message),
}


def encode(kind: str, choice: str, value: dict[str, Any]) -> bytes:
    return bytes(grammar().encode(kind, (choice, value)))


def framed(octets: bytes, extended: bool = True) -> bytes:
    """In a record header of TS 32.297; the extended one has the octet of release 7."""
    if extended:
        return len(octets).to_bytes(2, "big") + b"\xe6\x27\x06" + octets
    return len(octets).to_bytes(2, "big") + b"\xc6\x27" + octets


def file_header(body: bytes, records: int, sequence: int = 7) -> bytes:
    octets = 54
    when = 10 << 28 | 21 << 23 | 12 << 18 | 0 << 12 | 1 << 11 | 2 << 6
    return b"".join([(octets + len(body)).to_bytes(4, "big"), octets.to_bytes(4, "big"), b"\xe6\xe6",
                     when.to_bytes(4, "big"), when.to_bytes(4, "big"), records.to_bytes(4, "big"),
                     sequence.to_bytes(4, "big"), b"\0", bytes(20), b"\0", b"\0\0", b"\0\0", b"\x06\x06"])


def file_of(records: list[bytes]) -> bytes:
    body = b"".join(framed(octets) for octets in records)
    return file_header(body, len(records)) + body


def array(octets: bytes) -> U8:
    return np.frombuffer(octets, np.uint8)


def readable(cells: Cells, buffer: bytes) -> list[dict[str, Any]]:
    """Rows as the oracle writes them."""
    rows = []
    for i in range(len(cells)):
        row: dict[str, Any] = {}
        for column in DECODED.columns:
            cell = int(cells[column.name][i])
            if column.name in FRAMING or cell == -1:
                continue
            row[column.name] = cell
            if column.codes is not None:
                row[column.name] = code_names(column.codes)[cell]
            elif column.kind == "time":
                row[column.name] = datetime.fromtimestamp(cell // 1_000_000, UTC)
        for name in [*row]:
            text = (name in NUMBERS and row.get(f"{name}_type") == "text") or name in TEXTS or \
                (name == "served_address" and row["served_address_text"] == 1)
            if text:
                row[name] = buffer[row[name] >> 16:(row[name] >> 16) + (row[name] & 0xFFFF)]
            elif name in NUMBERS or name in DIGITS:
                row[name] = unpack(row[name])
        rows.append(row)
    return rows


def check_tiling(cells: Cells, start: int, stop: int) -> None:
    """Records in order, without gap or overlap, from `start` to `stop`; containers of a record adjacent."""
    at, i = start, 0
    while i < len(cells):
        count = int(cells["container_count"][i])
        assert count >= 1
        assert cells["record_offset"][i:i + count].tolist() == [at] * count
        assert cells["container_index"][i:i + count].tolist() == list(range(count))
        length = int(cells["record_length"][i])
        assert length > 0
        assert cells["record_length"][i:i + count].tolist() == [length] * count
        assert all(int(code) in list(Reason) for code in cells["status"][i:i + count])
        at, i = at + length, i + count
    assert at == stop
