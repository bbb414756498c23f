"""Prices whose common denominator leaves little room: what all amounts have in common is counted instead, exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rating.kernels.price import multiply_divide_nb, round_multiple_nb
from schemas.errors import ReferenceDataError
from schemas.money import NANOS, Rounding
from schemas.tariff_tables import FAMILY_BOUND, FAMILY_MULTIPLE
from tests.oracle.rating.amounts import round_money
from tests.unit.test_prices import NOON, World

ROOMY = """
exchange: [{from: USD, to: EUR, rate: 0.923456}]
roaming: {far: ["*"]}
data_classes: [{class: web}]
discounts: {tenth: {percent: 10, service: data, roaming: any}}
"""
RATES = {"home": "{unit: octet, slots: [{price: 0.01, per: 1 MB, step: 1 B}]}",
         "far": "{unit: octet, connect_fee: 0.10, slots: [{price: 0.19, per: 1 MB, step: 1 B}], currency: USD}"}
PRICES = "{service: data, rate: home}, {service: data, roaming: any, rate: far}"
TAX = "{percent: 19, prices: exclusive}"


def usage(octets, **more):
    return {"service": "data", "time_us": NOON, "quantity": octets, "account_id": 1, "direction": "originating",
            "rating_group": 1} | more


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, RATES, PRICES, ROOMY, tax=TAX, discounts="[tenth]", rounding="{rule: half_up, decimals: 9}")


def test_octets_with_exchange_tax_and_discount_are_charged_to_the_last_nano(world):
    assert world.tariffs.tables[FAMILY_MULTIPLE].max() > 1
    # 10 GB at home: 100 * 1.19 * 0.9. 1,234,567 octets away: (0.10 + 1.234567 * 0.19) * 0.923456 * 1.19 * 0.9
    assert world.cost(usage(10**10)) == [107.1]
    exact = (Fraction("0.1") + Fraction("1.234567") * Fraction("0.19")) * Fraction("0.923456") * Fraction(
        "1.19") * Fraction("0.9")
    world.charge(usage(1_234_567, plmn="20801"))
    assert Fraction(int(world.last.rated["charge_nanos"][0]), NANOS) == round_money(exact, "half_up", 9)
    # 0.10 * 0.923456 * 1.19, before the discount
    assert world.last.rated["connect_fee_nanos"].tolist() == [109_891_264]


def test_a_session_reaches_what_was_proved_in_one_report_or_in_many(tmp_path):
    """The sum so far may come close to 2^62: only sums over a cycle stop at half of it."""
    world = World(tmp_path, {"r": "{unit: unit, slots: [{price: 1000}]}"}, "{service: generic, rate: r}")
    bound = int(world.tariffs.tables[FAMILY_BOUND].min())
    assert 4_600_000 < bound < 4_620_000  # 2^62 / 10^12 nanos

    def reports(*quantities, session):
        return [{"service": "generic", "time_us": NOON, "quantity": q, "account_id": 1, "direction": "originating",
                 "session": session} for q in quantities]

    world.charge(*reports(3_000_000, 1_000_000, bound - 4_000_000, session=1))
    assert [n // NANOS for n in world.last.rated["charge_nanos"].tolist()] == [
        3_000_000_000, 1_000_000_000, (bound - 4_000_000) * 1000]
    world.charge(*reports(3_000_000, bound - 3_000_000, 1, session=2))
    assert len(world.last.rated) == 2 and len(world.last.suspense) == 1


def test_a_step_of_a_bucket_with_a_price_counts_for_the_bound(tmp_path):
    """A bucket takes a whole step for one octet: at 10 EUR a kB and in steps of 2^40 that is beyond 64 bits."""
    one = "{{name: a, unit: octet, amount: 2 TiB, cycle: month, services: [data], price: 10, per: 1 kB, step: {step}}}"
    rates, prices = {"r": RATES["home"]}, "{service: data, rate: r}"
    with pytest.raises(ReferenceDataError, match="overflow 64 bits"):
        World(tmp_path, rates, prices, "data_classes: [{class: web}]", allowances=f"[{one.format(step='1 TiB')}]")


def test_volume_tiers_with_tax_are_not_rounded_to_nanos(tmp_path):
    tiers = {"r": "{unit: unit, tiers: volume, slots: [{price: 0.10}, {from: 10, price: 0.05}]}"}
    for decimals in (8, 9):
        def make(decimals=decimals):
            return World(tmp_path, tiers, "{service: generic, rate: r}", tax=TAX,
                         rounding=f"{{rule: up, decimals: {decimals}}}")
        if decimals == 8:
            make()
        else:
            with pytest.raises(ReferenceDataError, match="at most 8 decimals, since tax can fall"):
                make()


WIDE = st.integers(1, (1 << 62) - 1)


@settings(deadline=None, max_examples=200)
@given(one=st.integers(0, (1 << 62) - 2), other=WIDE, denominator=WIDE)
def test_a_product_beyond_64_bits_is_divided_exactly(one, other, denominator):
    one %= denominator
    assert multiply_divide_nb(np.int64(one), np.int64(other), np.int64(denominator)) == divmod(
        one * other, denominator)


@settings(deadline=None, max_examples=300)
@given(numerator=st.integers(-(1 << 61), 1 << 61), multiple=st.integers(2, 10**9), denominator=st.integers(1, 1 << 61),
       rule=st.sampled_from(list(Rounding)))
def test_a_multiple_is_rounded_like_the_fraction(numerator, multiple, denominator, rule):
    exact = Fraction(numerator * multiple, denominator)
    if abs(exact) < 1 << 62:
        found = round_multiple_nb(np.int64(numerator), np.int64(multiple), np.int64(denominator), int(rule))
        assert found == round_money(exact, rule.name.lower(), 0)


def test_realistic_prices_for_octets_are_accepted(tmp_path):
    refused = []
    for home in ("0.01", "0.0123", "0.00499"):
        for dear in ("0.19", "0.2545", "4.99"):
            for step in ("1 kB", "1 KiB", "100 kB"):
                for percent in ("20", "7.7"):
                    slot = f"per: 1 MB, step: {step}"
                    rates = {"home": f"{{unit: octet, slots: [{{price: {home}, {slot}}}]}}",
                             "far": f"{{unit: octet, slots: [{{price: {dear}, {slot}}}], currency: USD}}"}
                    try:
                        World(tmp_path, rates, PRICES, ROOMY, tax=f"{{percent: {percent}, prices: exclusive}}",
                              discounts="[tenth]")
                    except ReferenceDataError as error:
                        refused.append(str(error))
    assert not refused
