"""Gy and Ro, message by message: what each asks, what it is told, and what the ledger says of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.serve.gy import GyFrontEnd
from pipelines.serve.open_sessions import OpenSessions
from schemas.columns import ABSENT
from tests.gy_desk import IMS, SMS, VOICE, GyDesk, asked, called, group, money, request, sent_to, used
from tests.integration.site import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MIB, EUR = 1 << 20, 978
OTHER = "+999710000005"


@pytest.fixture(scope="module")
def site(day: Path, tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Site:
    return Site(day, tmp_path_factory.mktemp("gy"), keys)


@pytest.fixture(scope="module")
def desk(site: Site) -> Iterator[GyDesk]:
    with GyDesk(site) as desk:
        yield desk


def units(answer: Any) -> dict[str, int]:
    """What was granted on the level of the command."""
    given = answer.granted_service_unit
    return {} if given is None else {k: v for k, v in vars(given).items() if isinstance(v, int)}


def services(answer: Any) -> list[tuple[int, int, dict[str, int]]]:
    """(rating group, result, what was granted)."""
    return [(s.rating_group, s.result_code, units(s)) for s in answer.multiple_services_credit_control]


def cost(answer: Any) -> tuple[int, int, int] | None:
    """Cost-Information: digits, exponent, currency."""
    said = answer.cost_information
    return None if said is None else (said.unit_value.value_digits, said.unit_value.exponent, said.currency_code)


def test_a_call_reserves_reports_and_ends_with_units_in_the_command(desk: GyDesk) -> None:
    first, = desk.ask(request(1, 0, "call", asked(), called(OTHER), context=IMS))
    assert (first.result_code, units(first), first.cc_session_failover, first.credit_control_failure_handling) == (
        2001, {"cc_time": 60}, 1, 2)
    second, = desk.ask(request(2, 1, "call", asked(seconds=30), used(seconds=60), called(OTHER), context=IMS))
    assert (second.result_code, units(second)) == (2001, {"cc_time": 30})
    last, = desk.ask(request(3, 2, "call", used(seconds=12), called(OTHER), context=IMS))
    assert (last.result_code, units(last)) == (2001, {})


def test_a_message_is_debited_once_and_its_price_can_be_asked(desk: GyDesk) -> None:
    first, = desk.ask(request(4, 0, "sms", ("Requested-Action", 0), sent_to("999710000005"), context=SMS))
    assert (first.result_code, units(first), cost(first)) == (
        2001, {"cc_service_specific_units": 1}, (9, -2, EUR))
    again, = desk.ask(request(4, 0, "sms", ("Requested-Action", 0), sent_to("999710000005"), context=SMS))
    assert (again.result_code, units(again), cost(again)) == (first.result_code, units(first), cost(first))
    price, = desk.ask(request(4, 0, "price", ("Requested-Action", 3), sent_to("999710000005"), context=SMS))
    assert (price.result_code, units(price), cost(price)) == (2001, {}, (9, -2, EUR))


@pytest.mark.parametrize(("digits", "exponent", "enough"), [(1, 0, 0), (100, 0, 1), (1, -2, 0)])
def test_a_balance_is_checked(desk: GyDesk, digits: int, exponent: int, enough: int) -> None:
    answer, = desk.ask(request(4, 0, f"check;{digits};{exponent}", ("Requested-Action", 2), money(digits, exponent),
                               context=SMS))
    assert (answer.result_code, answer.check_balance_result, units(answer)) == (2001, enough, {})


def test_money_is_debited_and_refunded_in_the_currency_of_the_account_only(desk: GyDesk) -> None:
    taken, = desk.ask(request(4, 0, "take", ("Requested-Action", 0), money(150, -2), context=SMS))
    assert (taken.result_code, cost(taken)) == (2001, (15, -1, EUR))
    back, = desk.ask(request(4, 0, "back", ("Requested-Action", 1), money(150, -2), context=SMS))
    assert (back.result_code, cost(back)) == (2001, (15, -1, EUR))
    for session, amount in (("dollars", money(150, -2, 840)), ("fine", money(1, -12)), ("large", money(1, 11))):
        wrong, good = desk.ask(request(4, 0, session, ("Requested-Action", 0), amount, context=SMS),
                               request(1, 0, f"beside {session}", group(10, asked())))
        assert (wrong.result_code, good.result_code) == (5004, 2001)
        assert services(good) == [(10, 2001, {"cc_total_octets": 10 * MIB})]


def test_money_of_a_number_that_a_command_gave_is_in_its_accounts_currency_too(day: Path, tmp_path: Path, keys: Path
                                                                              ) -> None:
    number = "999700099978"
    with GyDesk(Site(day, tmp_path, keys)) as desk:
        given = desk.run(desk.node.command({
            "id": "n-1", "time": "2026-10-21T08:00:00Z", "kind": "number_change", "account_id": 1_000_000,
            "msisdn": "999701234567", "new_msisdn": number}))
        assert given.status == "done", given
        for currency, code in ((840, 5004), (EUR, 2001)):
            answer, = desk.ask(request(4, 0, f"s;{currency}", ("Requested-Action", 0), money(150, -2, currency),
                                       context=SMS, who=number))
            assert answer.result_code == code


def test_services_of_one_message_are_answered_each(desk: GyDesk) -> None:
    first, = desk.ask(request(1, 0, "data", group(10, asked()), group(20, asked(octets=3 * MIB)),
                              group(30, asked(up=MIB, down=MIB)), group(40)))
    assert services(first) == [
        (10, 2001, {"cc_total_octets": 10 * MIB}), (20, 2001, {"cc_total_octets": 3 * MIB}),
        (30, 2001, {"cc_total_octets": 2 * MIB}), (40, 2001, {})]
    one = first.multiple_services_credit_control[0]
    assert (one.validity_time, one.volume_quota_threshold, one.quota_holding_time) == (3600, 2 * MIB, 900)
    second, = desk.ask(request(2, 1, "data", group(10, used(octets=MIB), used(up=10, down=20), asked()),
                               group(20, used(octets=MIB))))
    assert services(second) == [(10, 2001, {"cc_total_octets": 10 * MIB}), (20, 2001, {})]


def test_usage_before_and_after_a_tariff_change_is_charged_as_both(desk: GyDesk, site: Site) -> None:
    desk.ask(request(1, 0, "change", group(10, asked())))
    desk.ask(request(3, 1, "change", group(10, used(0, octets=1000), used(1, octets=300), used(1, octets=33))))
    desk.run(desk.node.settle())
    rows = [r for r in site.rows("grant") if r["used"] == 1333]
    assert len(rows) == 1
    charged = [r["quantity"] for r in site.rows("rated") if r["session_hi"] == rows[0]["session_hi"]]
    assert sorted(charged) == [333, 1000]


def test_who_cannot_be_served_is_told_why(desk: GyDesk) -> None:
    unknown, other, late = desk.ask(
        request(1, 0, "nobody", group(10, asked()), who="999999999999"),
        request(1, 0, "other", asked(), context="32299@3gpp.org"),
        request(2, 5, "never begun", group(10, used(octets=10), asked())))
    assert (unknown.result_code, services(unknown)) == (5030, [])
    assert other.result_code == 5031
    assert (late.result_code, services(late)) == (5002, [])


def test_a_subscriber_may_be_named_by_what_networks_derive_from_the_sim(desk: GyDesk, site: Site) -> None:
    rows = pq.read_table(site.input.operator / "resources.parquet").to_pylist()
    of = next(row["service_id"] for row in rows if row["value"] == "999701234567")
    imsi = next(row["value"] for row in rows if row["service_id"] == of and row["kind"] == "imsi")
    realm = f"mnc001.mcc{imsi[:3]}.3gppnetwork.org"
    names = [(3, f"{imsi}@nai.epc.{realm}"), (3, f"0{imsi}@nai.epc.{realm}"), (4, f"{imsi}@ims.{realm}"),
             (2, f"sip:{imsi}@ims.{realm}"), (2, "sip:+999701234567@tarifa.example;user=phone"),
             (2, "tel:+999701234567"), (3, "+999701234567@tarifa.example"),
             (3, f"2{imsi}@nai.epc.{realm}"), (4, "anna@tarifa.example")]
    answers = desk.ask(*(request(1, 0, f"named-{n}", group(10, asked(octets=1000)), who=name, who_type=kind)
                         for n, (kind, name) in enumerate(names)))
    assert [each.result_code for each in answers] == [2001] * 7 + [5030] * 2


def test_messages_of_many_contexts_become_what_rating_knows(desk: GyDesk) -> None:
    cases = [(request(1, 0, "a", asked(), called(OTHER), context=IMS), (0, 0, 0)),
             (request(1, 0, "b", asked(), called("+999701234567", 1), context=IMS), (0, 1, 0)),
             (request(1, 0, "c", asked(), called(OTHER), context=VOICE), (0, 0, 0)),
             (request(4, 0, "d", ("Requested-Action", 0), sent_to("999710000005"), context=SMS), (1, 0, 2)),
             (request(1, 0, "e", group(10, asked())), (3, 0, 1)),
             (request(1, 0, "f", group(10, asked(seconds=60))), (3, 0, 0)),
             (request(4, 0, "g", ("Requested-Action", 0), context="32270@3gpp.org"), (2, 0, 2))]
    seen = []
    whole = desk.node.ask

    def watched(requests: Any, *others: Any, **more: Any) -> Any:
        seen.append(requests)
        return whole(requests, *others, **more)

    desk.node.ask = watched  # type: ignore[method-assign]
    try:
        desk.ask(*(octets for octets, _ in cases))
    finally:
        desk.node.ask = whole  # type: ignore[method-assign]
    rows = seen[0]
    assert [(int(rows["service"][i]), int(rows["direction"][i]), int(rows["unit"][i])) for i in range(len(cases))] == [
        wanted for _, wanted in cases]
    assert (rows["other_prefix"][[0, 2, 3]] != ABSENT).all() and (rows["other_token"][[0, 2, 3]] != ABSENT).all()
    assert len({(h, lo) for h, lo in zip(rows["session_hi"], rows["session_lo"], strict=True)}) == len(cases)
    assert rows["account_id"].tolist() == [1_000_000] * len(cases)


def test_sessions_with_final_units_are_known_after_a_restart(day: Path, tmp_path: Path, keys: Path) -> None:
    """They were kept by another object than was saved, where there were none at the start."""
    site, path = Site(day, tmp_path, keys), tmp_path / "final_units.jsonl"
    with GyDesk(site) as desk:
        front = GyFrontEnd(desk.node, OpenSessions(path))
        desk.handle = front.handle
        desk.ask(request(1, 0, "last", group(10, asked(octets=1 << 40))))
        spent, = desk.ask(request(2, 1, "last", group(10, used(octets=1 << 33), asked(octets=MIB))))
        assert spent.multiple_services_credit_control[0].final_unit_indication.final_unit_action == 0
        front.sessions.save()
    kept = OpenSessions(path)
    assert len(kept) == 1
    with GyDesk(site) as desk:
        key, = kept.of({1_000_000}, desk.node.book, only_final=True)
        assert (kept[key].session, kept[key].host, kept[key].finals) == (b"last", b"pgw-01.tarifa.example", {10})


def test_sub_sessions_are_sessions_of_their_own(desk: GyDesk) -> None:
    for sub in (1, 2):
        answer, = desk.ask(request(1, 0, "subs", ("CC-Sub-Session-Id", sub), group(10, asked(octets=MIB))))
        assert services(answer) == [(10, 2001, {"cc_total_octets": MIB})]
    for sub in (1, 2):
        answer, = desk.ask(request(3, 1, "subs", ("CC-Sub-Session-Id", sub), group(10, used(octets=5))))
        assert answer.result_code == 2001


def test_numbers_of_other_parties_are_in_the_vault_and_nowhere_else(desk: GyDesk, site: Site) -> None:
    desk.ask(request(1, 0, "vault", asked(), called("+34600123456"), context=IMS),
             request(3, 1, "vault", used(seconds=3), called("+34600123456"), context=IMS))
    desk.run(desk.node.settle())
    tokens = {r["other_token"] for r in site.rows("rated")} - {None}
    assert tokens
    found = desk.node.vault.lookup(list(tokens), "test", "test", 0)  # type: ignore[arg-type]
    assert len(found) == len(tokens)
    for folder in (site.home.journal, Path(site.home.ledger)):
        assert not any(b"34600123456" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_two_calls_share_a_balance_as_the_manual_of_ims_charging_has_it(day: Path, tmp_path: Path, keys: Path) -> None:
    """75 seconds of credit, reservations of 30: README of Kamailio's ims_charging, 3.3."""
    site = Site(day, tmp_path, keys, own_inbox=True)
    for path in (site.input.operator / "tariffs").glob("*.yaml"):
        tariff = yaml.safe_load(path.read_text())
        if "short" in tariff.get("rates", {}):
            tariff["rates"]["short"] = {"unit": "second", "slots": [{"price": "0.60", "per": 60, "step": 1}]}
            path.write_text(yaml.safe_dump(tariff, sort_keys=False))
    with GyDesk(site) as desk:
        def ask(kind: int, number: int, session: str, *parts: Any) -> tuple[int, int | None, int | None]:
            answer, = desk.ask(request(kind, number, session, *parts, called("12345"), context=IMS))
            final = answer.final_unit_indication
            return answer.result_code, units(answer).get("cc_time"), final.final_unit_action if final else None

        spent = desk.run(desk.node.command({
            "id": "less", "time": "2026-11-22T12:00:00Z", "kind": "adjust", "account_id": 1_000_000, "amount": "-4.25",
            "currency": "EUR"}))
        assert spent.status == "done"
        assert ask(1, 0, "first", asked(seconds=30)) == (2001, 30, None)
        assert ask(2, 1, "first", asked(seconds=30), used(seconds=30)) == (2001, 30, None)
        assert ask(1, 0, "second", asked(seconds=30)) == (2001, 15, 0)
        assert ask(3, 2, "first", used(seconds=20)) == (2001, None, None)
        assert ask(2, 1, "second", asked(seconds=30), used(seconds=15)) == (2001, 10, 0)
        assert ask(2, 2, "second", asked(seconds=30), used(seconds=10)) == (4012, None, 0)
        assert ask(3, 3, "second") == (2001, None, None)
        desk.run(desk.node.settle())
        assert site.money(1_000_000) == 0
        assert sum(r["quantity"] for r in site.rows("rated")) == 75
