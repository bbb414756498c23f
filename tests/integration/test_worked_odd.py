"""What made other charging servers fall over: each odd message gets its own answer, and the next one is answered.

Answers by RFC 6733 7.1 and RFC 8506 9; no table of ours is read here.
"""

import contextlib

import pytest

from tests.diameter_wire import TGPP, Message, Peer, avp, message, u32
from tests.worked_home import (
    HOST,
    IMS,
    OTHER,
    PS,
    REALM,
    WorkedHome,
    asks,
    calls,
    ccr,
    group,
    imsi,
    msisdn,
    services,
    used,
)

EUR, WHO = 978, 30
SELF = [avp(264, HOST), avp(296, REALM)]


def nested(code: int, depth: int, vendor: int = 0) -> bytes:
    found = avp(code, b"", vendor)
    for _ in range(depth):
        found = avp(code, found, vendor)
    return found


def odd(name: str, *parts: bytes, kind: int = 1, who: int | None = WHO, without: tuple[int, ...] = (),
        action: int | None = None, context: str = PS) -> bytes:
    return ccr(kind, 0, f"odd;{name}", who, *parts, without=without, action=action, context=context)


def bare(session: bytes, realm: str = REALM, *parts: bytes) -> bytes:
    return message(272, 4, [avp(263, session), *SELF, avp(283, realm), u32(258, 4), avp(461, PS), u32(416, 1),
                            u32(415, 0), avp(443, [u32(450, 0), avp(444, msisdn(WHO))]), group(10, asks()), *parts])


def subscriber(*parts: bytes) -> bytes:
    return odd(f"who {parts}", group(10, asks()), avp(443, list(parts)), who=None)


MISSING = {f"without {code}": (odd(str(code), group(10, asks()), without=(code,)), 5005)
           for code in (263, 264, 296, 283, 258, 461, 416, 415)}
VALUES = {
    **{f"type {kind}": (odd("type", group(10, asks()), kind=kind), 5004) for kind in (0, 5, 99, 0xFFFFFFFF)},
    **{f"action {kind}": (odd("action", asks(units=1), kind=4, action=kind, context=OTHER), 5004) for kind in (4, 99)},
    "no action": (odd("no action", asks(units=1), kind=4, context=OTHER), 5005),
    "no subscriber": (odd("nobody", group(10, asks()), who=None), 5030),
    "nothing in a service": (odd("empty", avp(456)), 2001),
    "no rating group": (odd("no group", group(None, asks())), 2001),
    "no service at all": (odd("no service"), 2001),
    "zero octets asked": (odd("zero", group(10, asks(octets=0))), 2001),
    "most octets asked": (odd("most", group(10, asks(octets=(1 << 63) - 1))), 2001),
    "octets asked that are none": (odd("beyond", group(10, asks(octets=1 << 63))), 5004),
    "all bits asked": (odd("bits", group(10, asks(octets=(1 << 64) - 1))), 5004),
    "both directions asked": (odd("both", group(99, asks(up=(1 << 63) - 1, down=(1 << 63) - 1))), 2001),
    "all bits used": (odd("used", group(99, used(octets=(1 << 64) - 1))), 5004),
    "reason 10": (odd("reason", group(10, used(octets=1, reason=10))), 5004),
    "money without a value": (odd("money", avp(437, [avp(413)]), kind=4, action=0, context=OTHER), 5005),
    "money below zero": (odd("below", asks(money=(-1, 0, EUR)), kind=4, action=0, context=OTHER), 5004),
    "money for a session": (odd("session", asks(money=(1, 0, EUR)), context=OTHER), 5031),
    "money for a service": (odd("service", group(7, asks(money=(1, 0, EUR))), context=OTHER), 5031),
    "far too many services": (odd("many", *(group(n, asks()) for n in range(400))), 5012)}
TEXTS = {
    "number that is no text": (subscriber(u32(450, 0), avp(444, b"\xff\xfe\xfd")), 5004),
    "number of nothing": (subscriber(u32(450, 0), avp(444)), 5004),
    "number of 5,000 digits": (subscriber(u32(450, 0), avp(444, "9" * 5000)), 5004),
    "subscriber of a new sort": (subscriber(u32(450, 9), avp(444, "1")), 5004),
    "subscriber without sort": (subscriber(avp(444, msisdn(WHO))), 5005),
    "subscriber without number": (subscriber(u32(450, 0)), 5005),
    "subscriber of nothing": (subscriber(), 5005),
    "number with a plus": (subscriber(u32(450, 0), avp(444, "+" + msisdn(WHO))), 2001),
    "IMSI": (subscriber(u32(450, 1), avp(444, imsi(WHO))), 2001),
    "SIP URI": (subscriber(u32(450, 2), avp(444, f"sip:+{msisdn(WHO)}@ims.example")), 2001),
    "SIP URI of nobody": (subscriber(u32(450, 2), avp(444, b"sip:\xff@ims.example")), 5030),
    "session that is no text": (bare(b"\xff\xfe;1"), 2001),
    "session of 4,000 octets": (bare(b"x" * 4000), 2001),
    "context of nothing": (odd("context", asks(units=1), context=""), 2001),
    "context that is none": (odd("context 2", asks(units=1), context="\0\xff"), 2001)}
SHAPES = {
    "other realm": (bare(b"realm", "else.example"), 3003),
    "other host": (odd("host", avp(293, "else.check.example")), 3002),
    "services within services": (odd("deep", nested(456, 30)), 2001),
    "information within information": (odd("deeper", nested(873, 30, TGPP), group(10, asks())), 2001),
    "AVP that goes on behind the end": (odd("long", avp(432, bytes(4), length=200)), 5014),
    "AVP shorter than its header": (odd("short", avp(432, bytes(4), length=3)), 5014),
    "number of three octets": (odd("three", avp(456, [avp(432, bytes(3))])), 5014),
    "long number of four": (odd("four", group(10, avp(437, [u32(421, 5)]))), 5014),
    "AVP that nobody knows": (odd("unknown", avp(60_000, b"abcd")), 5001),
    "AVP of a vendor that nobody knows": (odd("vendor", avp(1, b"abcd", 99_999)), 5001),
    "AVP that one need not know": (odd("optional", avp(60_000, b"abcd", mandatory=False), group(10, asks())), 2001),
    "command that nobody knows": (message(999, 4, [avp(263, "x"), *SELF]), 3001),
    "another application": (message(272, 5, [avp(263, "x"), *SELF]), 3007),
    "an error as a request": (message(272, 4, [avp(263, "x"), *SELF], 0xE0), 3008),
    "a RAR to the server": (message(258, 4, [avp(263, "x"), *SELF, avp(283, REALM), u32(258, 4), u32(285, 0)]), 3001)}


@pytest.mark.parametrize("cases", [MISSING, VALUES, TEXTS, SHAPES], ids=["missing", "values", "texts", "shapes"])
def test_an_odd_message_costs_itself_alone(worked: WorkedHome, cases: dict[str, tuple[bytes, int]]) -> None:
    with worked.peer() as peer:
        told = {}
        for name, (octets, _) in cases.items():
            told[name] = peer.ask(octets).code
            assert peer.ask(message(280, 0, SELF, 0x80)).code == 2001, name  # the connection goes on
        assert told == {name: code for name, (_, code) in cases.items()}
        assert services(peer.ask(ccr(1, 0, f"after {next(iter(cases))}", WHO, group(99, asks()))))[0]["code"] == 2001
    assert worked.account(WHO)["balance"] == "10.00"


def test_usage_beyond_all_measure_takes_what_there_is(worked: WorkedHome) -> None:
    with worked.peer() as peer:
        peer.ask(ccr(1, 0, "petabyte", 31, group(10, asks())))
        answer = peer.ask(ccr(2, 1, "petabyte", 31, group(10, asks(), used(octets=1 << 50))))
        assert [(s["code"], s.get("final")) for s in services(answer)] == [(4012, (0,))]
        assert worked.money(31) == ("0.00", "0.00")
        # More seconds than a price was proved for: set aside, to be looked at, and the balance is not touched.
        peer.ask(ccr(1, 0, "century", 32, calls("999300000001"), asks(s=60), context=IMS))
        last = peer.ask(ccr(3, 1, "century", 32, calls("999300000001"), used(s=0xFFFFFFFF), context=IMS))
        assert (last.code, worked.money(32)) == (2001, ("10.00", "0.00"))


def hello(host: str = HOST, realm: str = REALM, *more: bytes) -> list[bytes]:
    return [avp(264, host), avp(296, realm), avp(257, b"\0\1\x7f\0\0\1"), u32(266, TGPP), avp(269, "test"),
            *(more or [u32(258, 4)])]


@pytest.mark.parametrize(("capabilities", "code"), [
    (hello(host="evil.example"), 3010), (hello(realm="evil.example"), 3010), (hello(HOST, REALM, u32(258, 5)), 5010),
    (hello()[1:], 5005), (hello(HOST.upper()), 2001), (hello(HOST, REALM, u32(258, 0xFFFFFFFF)), 2001)])
def test_who_may_connect(worked: WorkedHome, capabilities: list[bytes], code: int) -> None:
    with Peer(worked.served.port, HOST, REALM, capabilities) as peer:
        assert peer.hello.code == code
        peer_is_in = code == 2001
        with contextlib.suppress(EOFError, OSError):
            assert (peer.ask(message(280, 0, SELF, 0x80)).code == 2001) == peer_is_in
            assert peer_is_in


def test_halves_of_messages_and_a_farewell(worked: WorkedHome) -> None:
    octets = ccr(1, 0, "halves", 33, group(99, asks()))
    with worked.peer() as peer:
        for at in range(0, len(octets), 7):
            peer.socket.sendall(octets[at:at + 7])
        assert peer.read().code == 2001
        peer.socket.sendall(message(272, 4, [avp(263, "x"), u32(268, 2001)], 0x40))  # an answer that nobody waits for
        assert peer.ask(message(282, 0, [*SELF, u32(273, 0)], 0x80)).code == 2001
        with pytest.raises(EOFError):
            peer.read()
    for wrong, code in ((message(280, 0, SELF, 0x80, version=2), 5011), (message(280, 0, SELF, 0x80, length=10), 5015)):
        with worked.peer() as peer:
            peer.socket.sendall(wrong)
            said: Message = peer.read()
            assert said.code == code
            with pytest.raises((EOFError, OSError)):
                peer.read()
