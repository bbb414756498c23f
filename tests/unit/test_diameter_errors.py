"""Each fault that a message can have, the code it is answered with, and the AVP that is shown; sources in docs."""

import numpy as np
import pytest
from diameter.message import Message

from pipelines.diameter.encode import Answers, answers, encode_answers, identity_avps
from pipelines.diameter.parse import Limits, parse
from schemas.columns import ABSENT
from tests.diameter_messages import SLR, STR, SY, avp, message
from tests.diameter_peers import cells_row, text

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SOUND = [("Session-Id", "s;1"), ("Origin-Host", b"h"), ("Origin-Realm", b"r"), ("Destination-Realm", b"d"),
         ("Auth-Application-Id", 4), ("Service-Context-Id", "32251@3gpp.org"), ("CC-Request-Type", 1),
         ("CC-Request-Number", 0)]
IDENTITY = identity_avps("ocs.example.com", "example.com")


def raw(code: int, payload: bytes = b"", flags: int = 0x40, vendor: int = 0, length: int | None = None) -> bytes:
    """An AVP by hand, also one that lies about its length."""
    head = 12 if flags & 0x80 else 8
    size = head + len(payload) if length is None else length
    made = code.to_bytes(4, "big") + bytes([flags]) + size.to_bytes(3, "big")
    return made + (vendor.to_bytes(4, "big") if flags & 0x80 else b"") + payload + bytes(-len(payload) % 4)


def behind(extra: bytes, spec: list = SOUND, code: int = 272, application: int = 4) -> bytes:
    """A message with octets behind its AVPs."""
    whole = message(spec, code, application) + extra
    return whole[:1] + len(whole).to_bytes(3, "big") + whole[4:]


def without(name: str) -> list:
    return [part for part in SOUND if part[0] != name]


def money(*parts: tuple) -> bytes:
    return avp("Used-Service-Unit", [("CC-Money", list(parts))]).as_bytes()


DEEP = [("Used-Service-Unit", [("CC-Money", [("Unit-Value", [("Value-Digits", 1)])])])]
FAULTS = {
    "unknown command": (message(SOUND, code=999), 3001, None),
    "command of another application": (message(SOUND, application=5), 3007, None),
    "error bit in a request": (message(SOUND, flags=0xE0), 3008, None),
    "reserved bit of an AVP": (behind(raw(1, b"name", flags=0x41)), 3009, 1),
    "unknown AVP that must be understood": (behind(raw(60_000, b"abcd")), 5001, 60_000),
    "unknown vendor's AVP that must be understood": (behind(raw(1, b"abcd", 0xC0, 99_999)), 5001, 1),
    "request type out of range": (message([*without("CC-Request-Type"), ("CC-Request-Type", 5)]), 5004, 416),
    "octets beyond 2^63": (behind(avp("Used-Service-Unit", [("CC-Total-Octets", 1 << 63)]).as_bytes()), 5004, 421),
    "subscription that is no number": (behind(avp("Subscription-Id", [
        ("Subscription-Id-Type", 0), ("Subscription-Id-Data", "alice")]).as_bytes()), 5004, 443),
    "subscription of too many digits": (behind(avp("Subscription-Id", [
        ("Subscription-Id-Type", 1), ("Subscription-Id-Data", "1" * 16)]).as_bytes()), 5004, 443),
    "session without a name": (message([("Session-Id", ""), *SOUND[1:]]), 5004, 263),
    "no session": (message(without("Session-Id")), 5005, 263),
    "no origin host": (message(without("Origin-Host")), 5005, 264),
    "no origin realm": (message(without("Origin-Realm")), 5005, 296),
    "no destination realm": (message(without("Destination-Realm")), 5005, 283),
    "no application": (message(without("Auth-Application-Id")), 5005, 258),
    "no service context": (message(without("Service-Context-Id")), 5005, 461),
    "no request type": (message(without("CC-Request-Type")), 5005, 416),
    "no request number": (message(without("CC-Request-Number")), 5005, 415),
    "event without action": (message([*without("CC-Request-Type"), ("CC-Request-Type", 4)]), 5005, 436),
    "subscription without type": (behind(avp("Subscription-Id", [
        ("Subscription-Id-Data", "1")]).as_bytes()), 5005, 450),
    "subscription without data": (behind(avp("Subscription-Id", [("Subscription-Id-Type", 0)]).as_bytes()), 5005, 444),
    "money without value": (behind(money(("Currency-Code", 978))), 5005, 445),
    "value without digits": (behind(money(("Unit-Value", [("Exponent", 1)]))), 5005, 447),
    "result in a request": (behind(avp("Result-Code", 2001).as_bytes()), 5008, 268),
    "units of the command beside services": (message([*SOUND, ("Multiple-Services-Credit-Control", []),
                                                      ("Used-Service-Unit", [("CC-Time", 1)])]), 5008, 446),
    "services beside units of the command": (message([*SOUND, ("Requested-Service-Unit", []),
                                                      ("Multiple-Services-Credit-Control", [])]), 5008, 456),
    "two request numbers": (message([*SOUND, ("CC-Request-Number", 1)]), 5009, 415),
    "two sessions": (message([*SOUND, ("Session-Id", "s;2")]), 5009, 263),
    "two requested units": (message([*SOUND, ("Multiple-Services-Credit-Control", [
        ("Requested-Service-Unit", []), ("Requested-Service-Unit", [])])]), 5009, 437),
    "two rating groups": (message([*SOUND, ("Multiple-Services-Credit-Control", [
        ("Rating-Group", 1), ("Rating-Group", 2)])]), 5009, 432),
    "two times": (message([*SOUND, ("Used-Service-Unit", [("CC-Time", 1), ("CC-Time", 2)])]), 5009, 420),
    "too many AVPs": (message([*SOUND, *[("User-Name", "n")] * 40]), 5012, 1),
    "too many services": (message([*SOUND, *[("Multiple-Services-Credit-Control", [])] * 9]), 5012, 456),
    "groups too deep": (behind(avp("Multiple-Services-Credit-Control", DEEP).as_bytes()), 5012, 445),
    "reserved bit of the header": (message(SOUND, flags=0xC1), 5013, None),
    "AVP longer than the message": (behind(raw(1, b"abcd", length=100)), 5014, 1),
    "AVP shorter than its header": (behind(raw(1, b"abcd", length=7)), 5014, 1),
    "AVP longer than its group": (behind(raw(456, raw(432, b"\0\0\0\1", length=16))), 5014, 432),
    "half an AVP header": (behind(raw(1, length=8)[:4]), 5014, 1),
    "vendor AVP without vendor": (behind(raw(21, b"", 0xC0, length=12)[:8]), 5014, 21),
    "number of three octets": (behind(raw(278, b"abc")), 5014, 278),
    "charging id of three octets": (behind(avp("Service-Information", [("PS-Information", [
        ("3GPP-Charging-Id", b"abc")])]).as_bytes()), 5014, 2),
}
LIMIT = [("Session-Id", "s;1"), ("Origin-Host", b"h"), ("Origin-Realm", b"r"), ("Destination-Realm", b"d"),
         ("Auth-Application-Id", SY)]
BEGIN = [*LIMIT, ("SL-Request-Type", 0)]
FAULTS |= {
    "spending limit of credit control": (message(BEGIN, SLR, 4), 3007, None),
    "end of a session of credit control": (message([*LIMIT, ("Termination-Cause", 1)], STR, 4), 3007, None),
    "notification that is ours to send": (message(BEGIN, 8_388_636, SY), 3001, None),
    "counter without a vendor": (behind(raw(2901, b"calls"), BEGIN, SLR, SY), 5001, 2901),
    "spending limit of a session without a name": (message([("Session-Id", ""), *BEGIN[1:]], SLR, SY), 5004, 263),
    "spending limit of another type": (message([*LIMIT, ("SL-Request-Type", 2)], SLR, SY), 5004, 2904),
    "spending limit of a subscriber that is no number": (message([*BEGIN, ("Subscription-Id", [
        ("Subscription-Id-Type", 1), ("Subscription-Id-Data", "00101x")])], SLR, SY), 5004, 443),
    "spending limit without type": (message(LIMIT, SLR, SY), 5005, 2904),
    "spending limit without session": (message(BEGIN[1:], SLR, SY), 5005, 263),
    "end without cause": (message(LIMIT, STR, SY), 5005, 295),
    "two types of spending limit": (message([*BEGIN, ("SL-Request-Type", 1)], SLR, SY), 5009, 2904),
    "too many counters": (message([*BEGIN, *[("Policy-Counter-Identifier", "c")] * 9], SLR, SY), 5012, 2901),
    "type of spending limit of three octets": (behind(raw(2904, b"abc", 0xC0, 10415), LIMIT, SLR, SY), 5014, 2904),
    "counter longer than the message": (behind(raw(2901, b"abcd", 0xC0, 10415, 100), BEGIN, SLR, SY), 5014, 2901),
}
LIMITS = Limits(avps=40, units=8, depth=3)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_its_code_and_shows_its_avp(fault: str) -> None:
    octets, code, shown = FAULTS[fault]
    buffer = np.frombuffer(message(SOUND, hop=1) + octets + message(SOUND, hop=3), np.uint8)
    parsed = parse(buffer, limits=LIMITS)
    # It costs its sender this message and nothing else.
    assert parsed.messages["result_code"].tolist() == [0, code, 0]
    assert parsed.taken.tolist() == [len(buffer)]
    assert parsed.messages["failed_avp_code"][1] == (ABSENT if shown is None else shown)
    given = answers(3)
    given["result_code"] = np.where(parsed.messages["result_code"] == 0, 2001, parsed.messages["result_code"])
    sent = encode_answers(buffer, parsed.messages, parsed.units, Answers(given), IDENTITY)
    begin, length = sent.places[1].tolist()
    answer = Message.from_bytes(sent.buffer[begin:begin + length].tobytes(), plain_msg=True)
    avps = {a.code: a for a in answer.avps}
    assert (avps[268].value, answer.header.is_error) == (code, 3000 <= code < 4000)
    if shown is None:
        assert 279 not in avps
    else:
        failed = avps[279].value
        assert [a.code for a in failed] == [shown]
        reference = int(parsed.messages["failed_avp"][1])
        if reference != ABSENT:
            assert failed[0].as_bytes()[:(reference & 0xFFFF) + 3 & ~3][:8] == text(buffer, reference)[:8]


@pytest.mark.parametrize(("head", "code"), [(b"\x02\0\0\x14", 5011), (b"\0\0\0\x14", 5011), (b"\x01\0\0\x10", 5015),
                                            (b"\x01\0\0\x15", 5015), (b"\x01\xff\xff\xfc", 5015)])
def test_what_cannot_be_framed_closes_its_connection_after_what_came_before(head: bytes, code: int) -> None:
    good, bad = message(SOUND), head + message(SOUND)[4:]
    buffer = np.frombuffer(good + bad + good + good, np.uint8)
    two = np.array([[0, len(good) * 3], [len(good) * 3, len(good) * 4]])
    parsed = parse(buffer, two)
    assert parsed.closed.tolist() == [code, 0]
    assert parsed.taken.tolist() == [len(good), len(good) * 4]
    assert parsed.messages["result_code"].tolist() == [0, code, 0]
    assert parsed.messages["segment"].tolist() == [0, 0, 1]


def test_what_is_odd_but_harmless_is_taken() -> None:
    odd = [
        message([*SOUND, ("Origin-Host", b"h"), ("Origin-Realm", b"r")]),  # as Kamailio sends it: twice the same
        behind(raw(60_000, b"abcd", flags=0)),                             # unknown, and it need not be understood
        behind(raw(1004, b"rule", 0xC0, 10415)),                           # known, and of no interest
        message([*SOUND, ("Service-Information", [("PS-Information", [
            ("3GPP-RAT-Type", b"\x06\x06"), ("3GPP-SGSN-MCC-MNC", b"2x001"), ("PDP-Address", b"\0\x08+46"),
            ("GGSN-Address", b"\0\1\2"), ("3GPP-MS-TimeZone", b"\xff\xff")]), ("IMS-Information", [
                ("Calling-Party-Address", b"\xff\xfe"), ("Called-Party-Address", b"")])])]),
        message([*SOUND, ("Service-Information", [])]),
        message([*SOUND, ("Multiple-Services-Credit-Control", [])]),
    ]
    buffer = np.frombuffer(b"".join(odd), np.uint8)
    parsed = parse(buffer)
    assert parsed.messages["result_code"].tolist() == [0] * len(odd)
    packet = cells_row(parsed.messages, 3)
    assert not {"rat_type", "serving_plmn", "pdn_address", "gateway_address", "zone_quarters"} & packet.keys()
    assert text(buffer, packet["calling_text"]) == b"\xff\xfe"
    unknown = np.frombuffer(FAULTS["unknown AVP that must be understood"][0], np.uint8)
    lenient = parse(unknown, limits=Limits(strict=False))
    assert lenient.messages["result_code"].tolist() == [0]


@pytest.mark.parametrize(("seconds", "time_us"), [(0x80000000, -61_505_152_000_000), (2_208_988_800, 0),
                                                  (0xFFFFFFFF, 2_085_978_495_000_000), (0, 2_085_978_496_000_000),
                                                  (0x7FFFFFFF, 4_233_462_143_000_000)])
def test_times_wrap_in_2036(seconds: int, time_us: int) -> None:
    """RFC 6733 4.3.1: from 1968-01-20 03:14:08 to 2104-02-26 09:42:23."""
    parsed = parse(np.frombuffer(behind(raw(55, seconds.to_bytes(4, "big"))), np.uint8))
    assert parsed.messages["event_time_us"].tolist() == [time_us]


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="65532 expected"):
        Limits(message_octets=1 << 20)
    with pytest.raises(ValueError, match="at least 1"):
        Limits(depth=0)
    with pytest.raises(ValueError, match="outside"):
        parse(np.zeros(4, np.uint8), np.array([[0, 5]]))
