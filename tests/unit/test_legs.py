"""Charge legs, worked by hand: whom they charge, what, and what becomes of one that cannot be priced."""

from itertools import pairwise

import numpy as np
import pytest

from rating.book import BalanceBook
from rating.charging import charge
from reference_data.tariffs.compile import load_tariffs
from reference_data.tariffs.store import dump, load
from schemas.codes import LedgerAccount, Reason
from schemas.money import NANOS
from schemas.timepoint import parse_time
from tests.rating_support import befriend, events_to_cells, make_accounts, write_tariffs

START = parse_time("2026-01-01T00:00:00+00:00")
LATER = parse_time("2026-07-01T00:00:00+00:00")
NOON = parse_time("2026-06-01T10:00:00+00:00")
ANNA, RIVAL, SPAIN, RESELLER = 1, 901, 902, 900
DECKS = {(version, name): deck for version in ("v1", "v2") for name, deck in (
    ("main", {"49": "national", "34": "abroad"}), ("origins", {"49": "fixed", "4917": "cellular"}))}
# Retail: started minutes of 0.10. The rival takes 0.02 a call and 0.0005 a second (0.0002 to fixed lines); the reseller
# buys at 0.06 a minute by the second, after 120 s a month that cost it nothing.
VERSION = {
    "version": "v1", "active_from_us": START, "time_zone": "UTC", "currency": "EUR",
    "rates": {"minute": {"unit": "second", "slots": [{"price": "0.10", "per": "60", "step": "60"}]},
              "termination": {"unit": "second", "connect_fee": "0.02", "slots": [{"price": "0.0005", "per": "1",
                                                                                  "step": "1"}]},
              "fixed": {"unit": "second", "slots": [{"price": "0.0002", "per": "1", "step": "1"}]},
              "buying": {"unit": "second", "slots": [{"price": "0.06", "per": "60", "step": "1"}]}},
    "plans": {"basic": {"prices": [{"service": "voice", "zones": "any", "rate": "minute"}]},
              "carrier": {"deck": "origins",
                          "prices": [{"service": "voice", "zones": ["fixed"], "rate": "fixed"},
                                     {"service": "voice", "zones": ["cellular"], "rate": "termination"}]},
              "wholesale": {"allowances": [{"name": "bulk", "unit": "second", "amount": "120", "step": "1",
                                            "cycle": "month"}],
                            "prices": [{"service": "voice", "rate": "buying"}]}},
    "legs": [{"leg": "interconnect", "accounts": {"rival": str(RIVAL), "spain": str(SPAIN)}, "plan": "carrier"},
             {"leg": "reseller", "account": str(RESELLER), "plan": "wholesale", "zones": ["national"]}]}
LABELS = {"apn": [], "other_network": ["home", "rival", "spain"], "category": []}


def tariffs_of(folder, **changes):
    plain = {key: value for key, value in VERSION.items() if key != "legs"} | {"version": "v2", "active_from_us": LATER}
    return load_tariffs(write_tariffs(folder, [VERSION | changes, plain], DECKS))


@pytest.fixture(scope="module")
def tariffs(tmp_path_factory):
    return tariffs_of(tmp_path_factory.mktemp("tariffs"))


def new_book(tariffs, **changes):
    rows = [{"account_id": ANNA, "opening": "10", "plans": [(START, "basic")]},
            {"account_id": RIVAL, "credit": "100", "plans": [(START, None)]},
            {"account_id": RESELLER, "opening": "0.05", "plans": [(START, "basic")]} | changes]
    book = BalanceBook.create()
    book.open_accounts(make_accounts(rows), tariffs, 0)
    befriend(book, [{"account_id": ANNA, "friends": [77]}])
    return book


def call(number="491701234", quantity=61, network="rival", account=ANNA, time_us=NOON, **more):
    return {"service": "voice", "direction": "originating", "account_id": account, "number": number,
            "quantity": quantity, "time_us": time_us, "other_network": network, **more}


def charged(tariffs, book, *usage, cuts=()):
    cells = events_to_cells([{"id": i + 1} | e for i, e in enumerate(usage)], LABELS)
    parts = [charge(cells, a, b, 1, tariffs, book, LABELS) for a, b in pairwise([0, *cuts, len(cells)])]
    return parts if cuts else parts[0]


def told(result):
    """(leg, account, charge) of every rated row, in order."""
    return [(leg, account, nanos / NANOS) for leg, account, nanos in zip(
        *(result.rated[name].tolist() for name in ("leg", "account_id", "charge_nanos")), strict=True)]


def test_a_call_is_charged_to_caller_network_and_reseller_each_by_its_own_deck_and_price(tariffs):
    book = new_book(tariffs)
    result = charged(tariffs, book, call(), call(number="4930123", quantity=60), call(number="341", network="home"))
    assert told(result) == [(0, ANNA, 0.20), (1, RIVAL, 0.0505), (2, RESELLER, 0),  # 0.02 + 61 x 0.0005; 61 s of 120
                            (0, ANNA, 0.10), (1, RIVAL, 0.012), (2, RESELLER, 0.001),  # 60 x 0.0002; 59 s, then 1
                            (0, ANNA, 0.20)]                      # abroad: no reseller; home: no network's account
    assert result.rated["plan"].tolist()[:3] == [tariffs.labels["plan"].index(p) for p in (
        "basic", "carrier", "wholesale")]
    assert result.rated["zone"].tolist()[:2] == [tariffs.labels["zone"].index(z) for z in ("national", "cellular")]
    assert len(result.suspense) == len(result.leg_suspense) == 0
    balances = dict(zip(book.account_ids.tolist(), book.records[:, 0].tolist(), strict=True))
    assert balances == {ANNA: 9_500_000_000, RIVAL: -62_500_000, RESELLER: 49_000_000}


def test_postings_say_their_leg_and_count_through_the_event(tariffs):
    posting = charged(tariffs, new_book(tariffs), call(), call(quantity=70)).posting
    for event in (1, 2):
        rows = posting["movement_hi"] == event
        assert posting["posting_index"][rows].tolist() == list(range(int(rows.sum())))
        for leg, account in ((-1, ANNA), (1, RIVAL), (2, RESELLER)):
            own = rows & (posting["leg"] == leg)
            assert own.any() and set(posting["account_id"][own].tolist()) == {account}
            assert posting["amount"][own & (posting["unit"] == 0)].sum() == 0
    assert set(posting["leg"].tolist()) == {-1, 1, 2}


def test_reports_of_a_session_sum_to_one_in_every_leg(tariffs):
    whole = charged(tariffs, new_book(tariffs), call(quantity=190, session=1))
    parts = charged(tariffs, new_book(tariffs), *(
        call(quantity=after - before, session=1, time_us=NOON + before * 1_000_000)
        for before, after in pairwise([0, 1, 59, 61, 120, 190])))
    for leg in range(3):
        one, many = (result.rated["charge_nanos"][result.rated["leg"] == leg] for result in (whole, parts))
        assert many.size == 5 and many.sum() == one.sum() > 0
    fees = parts.rated["connect_fee_nanos"][parts.rated["leg"] == 1]
    assert fees.tolist() == [20_000_000, 0, 0, 0, 0]


def test_a_leg_that_cannot_be_priced_is_set_aside_alone(tariffs):
    usage = [call(number="341", network="rival"),                # the carrier's plan has no such prefix
             call(network="spain"),                              # nobody has opened account 902
             call(account=RESELLER)]                             # of all charges that cannot be only the leg
    result = charged(tariffs, new_book(tariffs), *usage)
    assert told(result) == [(0, ANNA, 0.20), (0, ANNA, 0.20), (2, RESELLER, 0),
                            (0, RESELLER, 0.20), (1, RIVAL, 0.0505), (2, RESELLER, 0.002)]
    aside = result.leg_suspense
    assert (aside["leg"].tolist(), aside["account_id"].tolist()) == ([1, 1], [RIVAL, SPAIN])
    assert aside["reason"].tolist() == [Reason.NO_ZONE, Reason.UNKNOWN_ACCOUNT]
    assert aside["event_id_hi"].tolist() == [1, 2] and set(aside["revision"].tolist()) == {0}


def test_an_account_in_another_currency_is_not_charged_by_the_plan(tmp_path):
    tariffs = tariffs_of(tmp_path, plans=VERSION["plans"] | {"dollars": {"currency": "USD", "prices": []}},
                         rates=VERSION["rates"])
    result = charged(tariffs, new_book(tariffs, currency="USD", plans=[(START, None)]), call())
    assert told(result) == [(0, ANNA, 0.20), (1, RIVAL, 0.0505)]
    assert result.leg_suspense["reason"].tolist() == [Reason.NO_PLAN]


def test_no_leg_without_the_event_itself(tariffs):
    """Set aside by selection (no plan then), by the fold (beyond what was proved): no leg is charged or set aside."""
    huge = call(quantity=1 << 40)
    result = charged(tariffs, new_book(tariffs), call(account=RIVAL), huge, call())
    assert result.suspense["reason"].tolist() == [Reason.NO_PLAN, Reason.QUANTITY_BEYOND_BOUND]
    assert told(result) == [(0, ANNA, 0.20), (1, RIVAL, 0.0505), (2, RESELLER, 0)]
    assert len(result.leg_suspense) == 0


def test_a_version_without_legs_charges_the_account_alone(tariffs):
    result = charged(tariffs, new_book(tariffs), call(time_us=LATER - 1), call(time_us=LATER))
    assert [leg for leg, _, _ in told(result)] == [0, 1, 2, 0]


def test_legs_take_their_turn_behind_their_event_wherever_the_block_is_cut(tariffs):
    """The reseller has 0.05, calls itself, and is charged by its customers' legs: first come, first served."""
    usage = [call(quantity=120), call(quantity=40), call(account=RESELLER, number="341", network=None, quantity=60),
             call(quantity=40)]
    expected = [(0, ANNA, 0.20), (1, RIVAL, 0.08), (2, RESELLER, 0), (0, ANNA, 0.10), (1, RIVAL, 0.04),
                (2, RESELLER, 0.04), (0, RESELLER, 0.10), (0, ANNA, 0.10), (1, RIVAL, 0.04), (2, RESELLER, 0.04)]
    whole = charged(tariffs, new_book(tariffs), *usage)
    assert told(whole) == expected
    assert whole.rated["uncollected_nanos"].tolist()[-5:] == [0, 90_000_000, 0, 0, 40_000_000]
    parts = charged(tariffs, new_book(tariffs), *usage, cuts=(1, 2, 3))
    for name in ("rated", "posting"):
        assert np.array_equal(np.concatenate([getattr(p, name).matrix for p in parts], axis=1),
                              getattr(whole, name).matrix)
    lost = whole.posting["ledger_account"] == LedgerAccount.UNCOLLECTED
    assert whole.posting["leg"][lost].tolist() == [-1, 2]


def test_a_scope_of_friends_and_prices_for_friends_look_at_the_callers_list(tmp_path):
    plans = VERSION["plans"] | {"carrier": {"prices": [
        {"service": "voice", "rate": "fixed"}, {"service": "voice", "friends": "true", "rate": "termination"}]}}
    tariffs = tariffs_of(tmp_path, plans=plans, legs=[VERSION["legs"][0], VERSION["legs"][1] | {"friends": "true"}])
    result = charged(tariffs, new_book(tariffs), call(other_token=77), call(other_token=78))
    assert told(result) == [(0, ANNA, 0.20), (1, RIVAL, 0.0505), (2, RESELLER, 0), (0, ANNA, 0.20), (1, RIVAL, 0.0122)]


def test_whom_a_leg_charges_is_part_of_the_tariffs_identity(tariffs, tmp_path):
    other = tariffs_of(tmp_path / "other", legs=[VERSION["legs"][0] | {"accounts": {"rival": "903"}},
                                                 VERSION["legs"][1]])
    assert other.content_hash != tariffs.content_hash
    (tmp_path / "compiled").write_bytes(dump(tariffs))
    assert load(tmp_path / "compiled").content_hash == tariffs.content_hash
