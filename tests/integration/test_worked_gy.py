"""Gy and Ro as a client sees them: each answer and each balance worked by hand from the tariff in `worked_home`."""

from collections.abc import Iterator

import pytest

from tests.diameter_wire import Peer, yesterday
from tests.integration.test_serve import until
from tests.worked_home import (
    HOST,
    IMS,
    MMS,
    OTHER,
    SMS,
    WorkedHome,
    asks,
    calls,
    ccr,
    cost,
    final,
    granted,
    group,
    services,
    to_number,
    used,
)

EUR = 978
NATIONAL, MOBILE, EUROPE = "999300000001", "999700000001", "33123456789"
FULL = {"code": 2001, "granted": {"octets": 100_000}, "validity": 600, "holding": 60, "threshold": 10_000}
DEBIT, REFUND, CHECK, PRICE = range(4)


@pytest.fixture(scope="module")
def peer(worked: WorkedHome) -> Iterator[Peer]:
    with worked.peer() as peer:
        yield peer


@pytest.mark.parametrize(("who", "parts", "context", "told", "balance"), [
    (1, (to_number(NATIONAL),), SMS, (2001, {"units": 1}, (1, -1)), "9.90"),
    (2, (to_number(NATIONAL), asks(units=3)), SMS, (2001, {"units": 3}, (3, -1)), "9.70"),
    (3, (asks(units=4),), OTHER, (2001, {"units": 4}, (12, -1)), "8.80"),
    (4, (asks(money=(150, -2, EUR)),), OTHER, (2001, {}, (15, -1)), "8.50"),
    (5, (calls("112"), asks(s=60)), IMS, (2001, {"s": 60}, (0, 0)), "10.00"),
    (201, (to_number(NATIONAL),), SMS, (4012, {}, None), "0.05"),
    (6, (to_number(EUROPE),), SMS, (5031, {}, None), "10.00"),
    (241, (to_number(NATIONAL),), SMS, (2001, {"units": 1}, (1, -1)), "9.90"),
    (241, (asks(units=1),), OTHER, (4010, {}, None), "9.90"),
    (243, (asks(units=1),), OTHER, (5030, {}, None), "10.00"),
    (260, (asks(units=1),), OTHER, (5031, {}, None), "0.00"),
    (261, (asks(units=16),), OTHER, (2001, {"units": 16}, (48, -1)), "-4.80"),
    (261, (asks(units=1),), OTHER, (4012, {}, None), "-4.80")])
def test_an_event_is_debited_whole_or_not_at_all(worked: WorkedHome, peer: Peer, who: int, parts: tuple[bytes, ...],
                                                 context: str, told: object, balance: str) -> None:
    request = ccr(4, 0, f"event;{who};{balance};{told}", who, *parts, context=context, action=DEBIT)
    for _ in range(2):  # the second is answered from memory
        answer = peer.ask(request)
        assert (answer.code, granted(answer), cost(answer)) == told
        assert worked.money(who) == (balance, "0.00")


def test_a_refund_a_check_and_a_price_enquiry(worked: WorkedHome, peer: Peer) -> None:
    def ask(name: str, action: int, *parts: bytes, context: str = OTHER) -> tuple[object, ...]:
        answer = peer.ask(ccr(4, 0, name, 10, *parts, context=context, action=action))
        return answer.code, cost(answer), answer.number(422)

    assert ask("refund", REFUND, asks(money=(2, 0, EUR))) == (2001, (2, 0), None)
    assert ask("units back", REFUND, to_number(NATIONAL), asks(units=3), context=SMS) == (2001, (3, -1), None)
    assert worked.money(10) == ("12.30", "0.00")
    assert ask("enough", CHECK, asks(units=41)) == (2001, None, 0)          # 12.30
    assert ask("too few", CHECK, asks(units=42)) == (2001, None, 1)
    assert ask("a call", PRICE, calls(NATIONAL), asks(s=120), context=IMS) == (2001, (12, -1), None)
    assert ask("a mobile", PRICE, calls(MOBILE), asks(s=61), context=IMS) == (2001, (7, -1), None)
    assert worked.money(10) == ("12.30", "0.00")
    for name, amount in (("below", (-2, 0, EUR)), ("dollars", (2, 0, 840)), ("huge", (1 << 62, 0, EUR))):
        assert ask(name, REFUND, asks(money=amount)) == (5004, None, None)
    assert worked.money(10) == ("12.30", "0.00")


@pytest.mark.parametrize(("who", "used_units", "balance"), [(11, 1, "9.90"), (12, 0, "10.00"), (13, 3, "9.70"),
                                                            (14, None, "10.00")])
def test_an_event_with_reservation_pays_what_was_used(worked: WorkedHome, peer: Peer, who: int,
                                                      used_units: int | None, balance: str) -> None:
    first = peer.ask(ccr(1, 0, f"ecur;{who}", who, to_number(NATIONAL), asks(units=1), context=SMS))
    assert (first.code, granted(first), worked.money(who)) == (2001, {"units": 1}, ("10.00", "0.10"))
    report = () if used_units is None else (used(units=used_units),)
    assert peer.ask(ccr(3, 1, f"ecur;{who}", who, to_number(NATIONAL), *report, context=SMS)).code == 2001
    assert worked.money(who) == (balance, "0.00")


def test_a_call_pays_by_the_second_or_for_minutes_begun(worked: WorkedHome, peer: Peer) -> None:
    for number, middle, end in ((NATIONAL, "9.40", "9.10"), (MOBILE, "8.70", "8.40")):
        first = peer.ask(ccr(1, 0, number, 15, calls(number), asks(s=60), context=IMS))
        assert (first.code, granted(first), first.number(448)) == (2001, {"s": 60}, 300)
        second = peer.ask(ccr(2, 1, number, 15, calls(number), asks(s=60), used(s=60), context=IMS))
        assert (granted(second), worked.money(15)[0]) == ({"s": 60}, middle)
        assert peer.ask(ccr(3, 2, number, 15, calls(number), used(s=30), context=IMS)).code == 2001
        assert worked.money(15) == (end, "0.00")


def test_each_rating_group_has_its_own_answer(worked: WorkedHome, peer: Peer) -> None:
    first = peer.ask(ccr(1, 0, "groups", 16, group(10, asks()), group(20, asks(octets=5000)), group(99, asks(up=7000)),
                         group(77, asks()), group(55, asks()), group(30)))
    assert services(first) == [
        {"group": 10, **FULL}, {"group": 20, **FULL, "granted": {"octets": 5000}, "threshold": 500},
        {"group": 99, **FULL, "granted": {"octets": 7000}, "threshold": 700},
        {"group": 77, "code": 5031}, {"group": 55, "code": 4011}, {"group": 30, "code": 2001}]
    assert worked.money(16) == ("10.00", "0.11")
    second = peer.ask(ccr(2, 1, "groups", 16, group(10, asks(), used(up=1200, down=3400)),
                          group(20, used(octets=1000), used(up=700), used(down=800)), group(99, used(octets=5000)),
                          group(55, used(octets=4000))))
    assert [(s["group"], s["code"], s.get("granted")) for s in services(second)] == [
        (10, 2001, {"octets": 100_000}), (20, 2001, None), (99, 2001, None), (55, 2001, None)]
    assert worked.money(16) == ("9.985", "0.10")  # 5 x 0.001, 3 x 0.002, 4 x 0.001
    last = peer.ask(ccr(3, 2, "groups", 16, group(10, used(down=400))))  # of the fifth thousand
    assert (last.code, worked.money(16)) == (2001, ("9.985", "0.00"))


def test_one_service_that_is_named_twice_has_one_quota(worked: WorkedHome, peer: Peer) -> None:
    """Each had been granted what there was once."""
    first = peer.ask(ccr(1, 0, "twice", 202, group(10, asks(octets=50_000)), group(20, asks(octets=1000)),
                         group(10, asks(octets=40_000))))
    assert services(first) == [
        {"group": 10, "code": 2001, "granted": {"octets": 50_000}, "final": (0,), "validity": 600, "holding": 60},
        {"group": 20, "code": 4012, "final": (0,)}]
    assert worked.money(202) == ("0.05", "0.05")
    second = peer.ask(ccr(2, 1, "twice", 202, group(10, used(octets=7000), asks(octets=3000)),
                          group(10, used(octets=3000), asks(octets=2000))))
    assert [(s["group"], s["granted"]) for s in services(second)] == [(10, {"octets": 5000})]
    assert worked.money(202) == ("0.04", "0.005")
    none = peer.ask(ccr(1, 0, "none", 17, group(None, asks()), group(None, used(octets=0))))
    assert services(none) == [FULL]


def test_usage_on_either_side_of_a_change_of_band_is_told_apart(worked: WorkedHome, peer: Peer) -> None:
    """By the time of the request, whenever it comes: the change was looked for behind now."""
    began = yesterday(19, 58)
    first = peer.ask(ccr(1, 0, "band", 18, group(30, asks(octets=50_000)), at=began))
    assert services(first, changes=True)[0]["granted"] == {"octets": 50_000, "change": began + 120}
    assert worked.money(18) == ("10.00", "0.20")
    second = peer.ask(ccr(2, 1, "band", 18, group(30, asks(octets=50_000), used(octets=10_000, change=0),
                                                  used(octets=10_000, change=1)), at=began + 300))
    assert services(second, changes=True)[0]["granted"] == {"octets": 50_000}
    assert worked.money(18) == ("9.95", "0.05")  # 0.04 by day, 0.01 by night
    last = peer.ask(ccr(3, 2, "band", 18, group(30, used(octets=10_000, change=2)), at=began + 600))
    assert (last.code, worked.money(18)) == (2001, ("9.94", "0.00"))


def test_every_reason_for_a_report_is_taken(worked: WorkedHome, peer: Peer) -> None:
    peer.ask(ccr(1, 0, "reasons", 19, group(10, asks())))
    for reason in range(10):
        answer = peer.ask(ccr(2, reason + 1, "reasons", 19, group(10, asks(), used(octets=1000, reason=reason))))
        assert (answer.code, services(answer)[0]["code"]) == (2001, 2001)
    assert worked.money(19) == ("9.99", "0.10")


def test_last_units_a_top_up_and_units_again(worked: WorkedHome, peer: Peer) -> None:
    first = peer.ask(ccr(1, 0, "last", 203, group(10, asks())))
    assert services(first) == [{"group": 10, "code": 2001, "granted": {"octets": 50_000}, "final": (0,),
                                "validity": 600, "holding": 60}]
    spent = peer.ask(ccr(2, 1, "last", 203, group(10, asks(), used(octets=50_000, reason=2))))
    assert (spent.code, services(spent)) == (2001, [{"group": 10, "code": 4012, "final": (0,)}])
    assert worked.command("top_up", 203, amount="1.00", currency="EUR")["status"] == "done"
    request = peer.told()
    assert (request.command, request.raw(263), request.number(285)) == (258, f"{HOST};last".encode(), 0)
    restored = peer.ask(ccr(2, 2, "last", 203, group(10, asks(), used(octets=0, reason=7))))
    assert services(restored) == [{"group": 10, **FULL}]
    late = peer.ask(ccr(3, 3, "last", 203, group(10, used(octets=2_000_000))))  # more than there is
    assert (late.code, worked.money(203)) == (2001, ("0.00", "0.00"))


def test_each_service_has_its_own_end(worked: WorkedHome, peer: Peer) -> None:
    call = peer.ask(ccr(1, 0, "end of call", 204, calls(NATIONAL), asks(s=60), context=IMS))
    assert (granted(call), final(call)) == ({"s": 5}, (1, b"http://top.up.example/"))
    worked.command("top_up", 205, amount="0.20", currency="EUR")
    texts = peer.ask(ccr(1, 0, "end of texts", 205, to_number(NATIONAL), asks(units=5), context=SMS))
    assert (granted(texts), final(texts)) == ({"units": 2}, (2, b"permit in ip from any to 10.0.0.1"))
    nothing = peer.ask(ccr(1, 0, "nothing", 231, group(10, asks()), group(99, asks())))
    assert [(s["group"], s["code"], s.get("final")) for s in services(nothing)] == [(10, 4012, (0,)), (99, 2001, None)]


def test_late_repeated_and_unknown_reports_are_charged_once_each(worked: WorkedHome, peer: Peer) -> None:
    peer.ask(ccr(1, 0, "late", 20, group(10, asks())))
    second = ccr(2, 2, "late", 20, group(10, asks(), used(octets=2000)))
    answer = peer.ask(second)
    assert worked.money(20) == ("9.998", "0.10")
    assert peer.ask(ccr(2, 1, "late", 20, group(10, asks(), used(octets=3000)))).code == 2001
    assert worked.money(20) == ("9.995", "0.10")
    repeated = peer.ask(ccr(2, 2, "late", 20, group(10, asks(), used(octets=2000)), again=True))
    assert services(repeated) == services(answer) and worked.money(20) == ("9.995", "0.10")
    for again in (False, True):  # ten times what was granted
        last = peer.ask(ccr(3, 3, "late", 20, group(10, used(octets=1_000_000)), again=again))
        assert (last.code, worked.money(20)) == (2001, ("8.995", "0.00"))
    for number, session, balance in ((5, "late", "8.994"), (5, "late", "8.994"), (1, "never begun", "8.993")):
        unknown = peer.ask(ccr(2, number, session, 20, group(10, asks(), used(octets=1000))))
        assert (unknown.code, worked.money(20)) == (5002, (balance, "0.00"))


def test_sessions_of_a_family_share_what_is_there(worked: WorkedHome, peer: Peer) -> None:
    assert services(peer.ask(ccr(1, 0, "web", 251, group(10, asks()))))[0]["granted"] == {"octets": 100_000}
    assert granted(peer.ask(ccr(1, 0, "call", 252, calls(NATIONAL), asks(s=60), context=IMS))) == {"s": 60}
    last = peer.ask(ccr(1, 0, "call too", 253, calls(NATIONAL), asks(s=60), context=IMS))
    assert (granted(last), final(last)[0]) == ({"s": 30}, 1)  # 1.00 - 0.10 - 0.60
    assert worked.money(250) == ("1.00", "1.00")
    assert peer.ask(ccr(3, 1, "web", 251, group(10, used(octets=20_000)))).code == 2001
    more = peer.ask(ccr(2, 1, "call too", 253, calls(NATIONAL), asks(s=60), used(s=30), context=IMS))
    assert (granted(more), worked.money(250)) == ({"s": 8}, ("0.68", "0.68"))  # 0.08 of what the web gave back


def test_a_picture_and_data_are_events_too(worked: WorkedHome, peer: Peer) -> None:
    picture = peer.ask(ccr(4, 0, "picture", 23, to_number(NATIONAL, MMS), context=MMS, action=DEBIT))
    assert (picture.code, cost(picture), worked.money(23)[0]) == (2001, (25, -2), "9.75")
    data = peer.ask(ccr(4, 0, "download", 21, group(10, asks(octets=5500)), action=DEBIT))
    assert (services(data)[0]["granted"], cost(data)) == ({"octets": 5500}, (6, -3))
    assert worked.money(21) == ("9.994", "0.00")


def test_what_was_answered_is_known_after_a_kill(worked: WorkedHome) -> None:
    requests = [ccr(2, 1, "kill", 22, group(10, asks(), used(octets=5000)), again=True),
                ccr(4, 0, "kill;event", 22, asks(units=1), context=OTHER, action=DEBIT, again=True),
                ccr(2, 4, "kill;unknown", 22, group(10, used(octets=1000)), again=True)]
    with worked.peer() as peer:
        peer.ask(ccr(1, 0, "kill", 22, group(10, asks())))
        peer.ask(ccr(1, 0, "kill;final", 206, group(10, asks())))
        answers = [peer.ask(request).octets for request in requests]
        state, money = peer.hello.number(278), worked.money(22)
    until(lambda: b"kill;final" in (worked.home.root / "serve/final_units.jsonl").read_bytes())  # within a second
    worked.served.kill()
    worked.serve()
    with worked.peer() as peer:
        assert peer.hello.number(278) == state
        assert [peer.ask(request).octets for request in requests] == answers and worked.money(22) == money
        worked.command("top_up", 206, amount="1.00", currency="EUR")
        assert peer.told().raw(263) == f"{HOST};kill;final".encode()
        worked.command("state", 206, state="terminated")
        assert (request := peer.told()).command == 274 and request.raw(263) == f"{HOST};kill;final".encode()
