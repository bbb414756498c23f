"""Credit-Control-Requests by chance, built by python-diameter: every AVP that the parser reads, in any order."""

import datetime
import random
from typing import Any

from diameter.message import Message, MessageHeader
from diameter.message.avp import Avp
from hypothesis import strategies as st

from pipelines.diameter.dictionary import named

NUMBERS = ["46701234567", "+46701234567", "112", "*100#", "alice", "", "467012345678901234"]
PARTIES = ["tel:+46-70-123(45)67", "sip:46701234567@ims.example.com", "sip:alice@example.com",
           "sips:+4670@h;user=phone", "46701234567", "sip:46701234567;npdi@host", "<sip:123@h>",
           "tel:112;phone-context=example.com", "anonymous"]
# python-diameter is an hour off from 2036 on: times after that are tested by hand.
TIMES = st.datetimes(datetime.datetime(2026, 1, 1), datetime.datetime(2035, 12, 31),
                     timezones=st.just(datetime.UTC)).map(lambda t: t.replace(microsecond=0))
U32, U63 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 63) - 1)
SMALL = st.text("abcdefghij0123456789;.", min_size=1, max_size=24)
Spec = tuple[str, Any]
SY, SLR, STR = 16_777_302, 8_388_635, 275
PCRF, NUMBER = "pcrf-01.tarifa.example", "999701234567"


def avp(name: str, value: Any, vendor: int | None = None) -> Avp:
    """One AVP, or a group of (name, value)."""
    known = named(name, vendor)
    made = Avp.new(known.code, known.vendor)
    made.is_mandatory = "M" in known.flags
    if isinstance(value, list):
        made.value = [avp(*part) for part in value]
    elif isinstance(value, bytes):
        made.payload = value
    else:
        made.value = value
    return made


def message(parts: list[Spec], code: int = 272, application: int = 4, hop: int = 1, end: int = 2,
            flags: int = 0xC0) -> bytes:
    """A request of these AVPs."""
    made = Message(MessageHeader(command_code=code, application_id=application, hop_by_hop_identifier=hop,
                                 end_to_end_identifier=end, command_flags=flags))
    for part in parts:
        made.append_avp(avp(*part))
    return made.as_bytes()


def limit(session: str, kind: int | None = 0, *counters: str | bytes, who: str | Spec | None = NUMBER,
          more: tuple[Spec, ...] = (), host: str = PCRF) -> bytes:
    """An SLR: 0 initial, 1 intermediate."""
    subscriber = [("Subscription-Id", [("Subscription-Id-Type", 0), ("Subscription-Id-Data", who)])] \
        if isinstance(who, str) else [who] if who else []
    return message([
        ("Session-Id", session), ("Origin-Host", host.encode()), ("Origin-Realm", b"tarifa.example"),
        ("Destination-Realm", b"tarifa.example"), ("Auth-Application-Id", SY),
        *([("SL-Request-Type", kind)] if kind is not None else []),
        *subscriber, *(("Policy-Counter-Identifier", each) for each in counters), *more], SLR, SY)


def end(session: str) -> bytes:
    """An STR."""
    return message([
        ("Session-Id", session), ("Origin-Host", PCRF.encode()), ("Origin-Realm", b"tarifa.example"),
        ("Destination-Realm", b"tarifa.example"), ("Auth-Application-Id", SY), ("Termination-Cause", 1)], STR, SY)


def _some(*choices: st.SearchStrategy[Spec]) -> st.SearchStrategy[list[Spec]]:
    """Each at most once, in any order."""
    return st.tuples(*(st.none() | c for c in choices)).map(lambda found: [f for f in found if f is not None]) \
        .flatmap(lambda found: st.permutations(found)) if choices else st.just([])


def _of(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    return values.map(lambda value: (name, value))


MONEY = st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), st.none() | st.integers(-9, 9), st.none() | st.just(978)).map(
    lambda m: ("CC-Money", [
        ("Unit-Value", [("Value-Digits", m[0])] + ([("Exponent", m[1])] if m[1] is not None else [])),
        *([("Currency-Code", m[2])] if m[2] else [])]))
UNITS = (_of("CC-Time", U32), _of("CC-Total-Octets", U63), _of("CC-Input-Octets", U63), _of("CC-Output-Octets", U63),
         _of("CC-Service-Specific-Units", U63), MONEY)
REQUESTED = _of("Requested-Service-Unit", _some(*UNITS))
USED = _of("Used-Service-Unit", _some(*UNITS, _of("Tariff-Change-Usage", st.integers(0, 2)),
                                      _of("Reporting-Reason", st.integers(0, 8)),
                                      _of("Event-Charging-TimeStamp", TIMES)))
SERVICE = st.tuples(_some(REQUESTED, _of("Rating-Group", U32), _of("Reporting-Reason", st.integers(0, 8))),
                    st.lists(USED, max_size=3), st.lists(_of("Service-Identifier", U32), max_size=3)) \
    .map(lambda parts: [p for part in parts for p in part]).flatmap(lambda parts: st.permutations(parts)) \
    .map(lambda parts: ("Multiple-Services-Credit-Control", list(parts)))
SUBSCRIPTION = st.one_of(
    st.tuples(st.just(0), st.sampled_from(["46701234567", "+46701234567", "1"])),
    st.tuples(st.just(1), st.just("240011234567890")), st.tuples(st.just(2), st.sampled_from(PARTIES)),
    st.tuples(st.just(3), st.just("user@realm")), st.tuples(st.just(4), SMALL)).flatmap(
        lambda s: st.permutations([("Subscription-Id-Type", s[0]), ("Subscription-Id-Data", s[1])])).map(
            lambda parts: ("Subscription-Id", list(parts)))
ADDRESS = st.sampled_from(["10.1.2.3", "255.255.255.255", "2001:db8::1", "::"])
PACKET = _of("PS-Information", _some(
    _of("3GPP-Charging-Id", st.binary(min_size=4, max_size=4)), _of("PDN-Connection-Charging-ID", U32),
    _of("PDP-Address", ADDRESS), _of("Called-Station-Id", SMALL), _of("GGSN-Address", ADDRESS),
    _of("SGSN-Address", ADDRESS), _of("3GPP-SGSN-MCC-MNC", st.sampled_from(["24001", "310410", "00101"])),
    _of("3GPP-RAT-Type", st.binary(min_size=1, max_size=1)), _of("3GPP-User-Location-Info", st.binary(max_size=13)),
    _of("3GPP-MS-TimeZone", st.sampled_from([b"\x40\x00", b"\x4a\x01", b"\x08\x00", b"\x21\x02"])),
    _of("3GPP-Charging-Characteristics", st.just("0800")), _of("3GPP-NSAPI", st.just(b"5")),
    _of("QoS-Information", st.just([("QoS-Class-Identifier", 9)]))))
IMS = st.tuples(_some(
    _of("IMS-Charging-Identifier", SMALL), _of("Role-Of-Node", st.integers(0, 2)),
    _of("Node-Functionality", st.integers(0, 10)), _of("User-Session-Id", SMALL),
    _of("Called-Party-Address", st.sampled_from(PARTIES)),
    st.tuples(st.sampled_from(["INVITE", "BYE", "dummy"]), st.none() | SMALL).map(
        lambda e: ("Event-Type", [("SIP-Method", e[0], 10415)] + ([("Event", e[1])] if e[1] else [])))),
    st.lists(_of("Calling-Party-Address", st.sampled_from(PARTIES)), max_size=3)).map(
        lambda parts: ("IMS-Information", [*parts[0], *parts[1]]))
RECIPIENT = _of("Recipient-Info", st.lists(st.tuples(st.integers(0, 6), st.sampled_from(NUMBERS)).map(
    lambda a: ("Recipient-Address", [("Address-Type", a[0]), ("Address-Data", a[1])])), max_size=2))
SMS = st.tuples(_some(
    _of("SMS-Node", st.integers(0, 3)), _of("SM-Message-Type", st.integers(0, 4)),
    _of("Number-Of-Messages-Sent", U32),
    st.sampled_from(NUMBERS).map(
        lambda n: ("Originator-Received-Address", [("Address-Type", 1), ("Address-Data", n)]))),
    st.lists(RECIPIENT, max_size=2)).map(lambda parts: ("SMS-Information", [*parts[0], *parts[1]]))
INFORMATION = _of("Service-Information", st.tuples(_some(PACKET, IMS, SMS), st.lists(SUBSCRIPTION, max_size=1)).map(
    lambda parts: [*parts[0], *parts[1]]))
MUST = st.tuples(SMALL, SMALL, SMALL, SMALL, st.sampled_from(["32251@3gpp.org", "ext.01.001.8.32260@3gpp.org",
                                                              "8.32274@3gpp.org", "x@y", "12.32299", "@"]),
                 st.integers(1, 4), U32, st.integers(0, 3)).map(lambda v: [
                     ("Session-Id", v[0]), ("Origin-Host", v[1].encode()), ("Origin-Realm", v[2].encode()),
                     ("Destination-Realm", v[3].encode()), ("Service-Context-Id", v[4]), ("CC-Request-Type", v[5]),
                     ("CC-Request-Number", v[6]), *([("Requested-Action", v[7])] if v[5] == 4 else [])])
APPLICATION = st.sampled_from([
    [("Auth-Application-Id", 4)],
    [("Vendor-Specific-Application-Id", [("Vendor-Id", 10415), ("Auth-Application-Id", 4)])]])
OTHERS = _some(
    _of("Destination-Host", SMALL.map(str.encode)), _of("Origin-State-Id", U32), _of("CC-Sub-Session-Id", U63),
    _of("Event-Timestamp", TIMES), _of("Multiple-Services-Indicator", st.integers(0, 1)),
    _of("Termination-Cause", st.integers(1, 30)), _of("CC-Correlation-Id", st.binary(max_size=9)),
    _of("User-Name", SMALL), _of("Service-Identifier", U32), INFORMATION,
    st.tuples(st.integers(0, 3), st.binary(max_size=16)).map(
        lambda e: ("User-Equipment-Info", [("User-Equipment-Info-Type", e[0]), ("User-Equipment-Info-Value", e[1])])),
    _of("Route-Record", SMALL.map(str.encode)))
LISTS = st.tuples(st.lists(SUBSCRIPTION, max_size=3),
                  st.lists(SERVICE, max_size=4) | st.tuples(REQUESTED, st.lists(USED, max_size=2)).map(
                      lambda parts: [parts[0], *parts[1]]))


def _mixed(parts: tuple[list[Spec], list[Spec], list[Spec], tuple[list[Spec], list[Spec]], int]) -> list[Spec]:
    must, application, others, (subscriptions, services), seed = parts
    rest = [*must[1:], *application, *others, *subscriptions]
    random.Random(seed).shuffle(rest)
    cut = seed % (len(rest) + 1)
    return [must[0], *rest[:cut], *services, *rest[cut:]]


REQUEST = st.tuples(MUST, APPLICATION, OTHERS, LISTS, st.integers(0, 1 << 16)).map(_mixed)
