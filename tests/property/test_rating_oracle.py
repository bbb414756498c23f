"""The kernels against the oracle: prices, balances, buckets, however the block is cut and whoever shares."""

import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rating.book import BalanceBook
from rating.charging import charge
from rating.commands import apply_command
from rating.explain import explain_rated
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.tariffs.compile import definition_key, load_tariffs
from schemas.codes import LedgerAccount, Reason
from schemas.money import NANOS
from schemas.rated import POSTING, RATED
from schemas.tariff_tables import BUCKET_DAY_BITS
from schemas.timepoint import format_time
from schemas.usage import SUSPENSE
from tests.property.rating_worlds import INSTANTS, account_rows, events, oracle_of, tariffs
from tests.rating_support import events_to_cells, join, make_accounts, write_tariffs

APNS = ["ims", "Internet"]
DAY_S = 86_400
# No shrinking: it takes minutes where a world takes a tenth of a second; benchmarks.exactness makes small examples.
QUICK = settings(deadline=None, max_examples=25, phases=[Phase.explicit, Phase.generate],
                 suppress_health_check=list(HealthCheck))


def compile_world(versions, decks):
    with tempfile.TemporaryDirectory() as folder:
        return load_tariffs(write_tariffs(Path(folder), versions, decks))


def open_book(compiled, rows):
    book = BalanceBook.create(lateness_s=3 * DAY_S, horizon_s=5 * DAY_S)
    return book, book.open_accounts(make_accounts(rows), compiled, 0)


def check_against_oracle(charged, expected, compiled):
    rated, suspense = iter(range(len(charged.rated))), iter(range(len(charged.suspense)))
    for number, wanted in enumerate(expected):
        if "reason" in wanted:
            row = next(suspense)
            assert Reason(charged.suspense["reason"][row]).name == wanted["reason"], number
            continue
        row = next(rated)
        found = {name: Fraction(int(charged.rated[f"{column}_nanos"][row]), NANOS) for name, column in (
            ("charge", "charge"), ("uncollected", "uncollected"), ("connect", "connect_fee"))}
        found["allowance"] = int(charged.rated["allowance_quantity"][row])
        assert found == {name: wanted[name] for name in found}, (number, wanted)
        zone = wanted["zone"] if wanted["roaming"] == "home" else f"roaming:{wanted['roaming']}"
        assert compiled.labels["zone"][charged.rated["zone"][row]] == zone


def check_explained(parts, compiled):
    """Each rated row is recomputed from what the ledger says of it, unless an earlier report's minimum rules."""
    for part in parts:
        taken = {}
        posting = part.posting
        for hi, ledger, bucket, amount in zip(*(posting[n].tolist() for n in (
                "movement_hi", "ledger_account", "bucket_id", "amount")), strict=True):
            if ledger == LedgerAccount.ALLOWANCE and amount < 0:
                taken.setdefault(hi, []).append((bucket, -amount))
        for k in range(len(part.rated)):
            row = {name: int(part.rated[name][k]) for name in part.rated.columns.names}
            said = explain_rated(row, compiled, taken.get(row["event_id_hi"], []))
            raised = row["session_quantity_before"] > 0 and row["session_charged_before_nanos"] > 0
            assert said["agrees"] or raised, (row, said)


def check_balances(book, oracle, compiled):
    cells = book.balances(compiled, 0)
    keys = {}
    for version in compiled.versions:
        for plan in version.plans.values():
            for allowance in plan.allowances:
                keys[definition_key(plan.name, allowance) >> BUCKET_DAY_BITS] = (
                    plan.name, allowance.name, allowance.unit.name.lower(), allowance.cycle)
    buckets, money = {}, {}
    for account, bucket, amount in zip(cells["account_id"], cells["bucket_id"], cells["amount"], strict=True):
        if bucket < 0:
            money[int(account)] = Fraction(int(amount), NANOS)
        else:
            day = int(bucket) & ((1 << BUCKET_DAY_BITS) - 1)
            buckets[int(account), *keys[int(bucket) >> BUCKET_DAY_BITS], day] = int(amount)
    assert money == {a.account_id: a.money for a in oracle.accounts.values()}
    assert buckets == {(a.account_id, *pot[:4], 0 if pot[4] is None else pot[4].toordinal() - 719_163): left
                       for a in oracle.accounts.values() for pot, left in a.buckets.items()}


def check_sums(book, compiled, postings):
    """Balances are nothing but sums of postings."""
    totals = {}
    names = ("account_id", "ledger_account", "bucket_id", "amount")
    for posting in postings:
        for account, ledger, bucket, amount in zip(*(posting[n].tolist() for n in names), strict=True):
            if ledger in (0, 1):
                totals[account, bucket] = totals.get((account, bucket), 0) + amount
    cells = book.balances(compiled, 0)
    left = {(a, b): n for a, b, n in zip(*(cells[n].tolist() for n in ("account_id", "bucket_id", "amount")),
                                         strict=True)}
    assert {k: v for k, v in totals.items() if v} == {k: v for k, v in left.items() if v}


@QUICK
@given(world=tariffs(), rows=account_rows(), usage=events(), cuts=st.lists(st.integers(0, 25), max_size=3),
       clock=st.sampled_from(INSTANTS), clock_at=st.integers(0, 25))
def test_charging_equals_the_oracle_however_the_block_is_cut(world, rows, usage, cuts, clock, clock_at):
    versions, decks = world
    compiled = compile_world(versions, decks)
    (book, opening), (other, _) = open_book(compiled, rows), open_book(compiled, rows)
    oracle = oracle_of(versions, decks, rows, 3 * DAY_S * 1_000_000, 5 * DAY_S * 1_000_000)
    cells = events_to_cells(usage, APNS)
    clock_at = min(clock_at, len(usage))
    tick = {"id": "tick", "kind": "clock", "time": format_time(clock)}
    labels = {"apn": APNS}

    whole = [charge(cells, 0, clock_at, 9, compiled, book, labels), apply_command(tick, 9, compiled, book),
             charge(cells, clock_at, len(usage), 9, compiled, book, labels)]
    expected = [oracle.charge(e) for e in usage[:clock_at]]
    oracle.clock(clock)
    expected += [oracle.charge(e) for e in usage[clock_at:]]
    check_against_oracle(whole[0], expected[:clock_at], compiled)
    check_against_oracle(whole[2], expected[clock_at:], compiled)
    check_balances(book, oracle, compiled)
    check_explained(whole, compiled)
    check_sums(book, compiled, [opening, *(part.posting for part in whole)])

    parts = []
    marks = sorted({0, len(usage), clock_at, *(min(c, len(usage)) for c in cuts)})
    for start, stop in pairwise(marks):
        if start == clock_at:
            parts.append(apply_command(tick, 9, compiled, other))
        parts.append(charge(cells, start, stop, 9, compiled, other, labels))
        other = from_arrow(to_arrow(other))
    if clock_at == len(usage):
        parts.append(apply_command(tick, 9, compiled, other))
    assert same_state(book, other)
    for columns, one, two in zip((RATED, POSTING, SUSPENSE), join(whole), join(parts), strict=True):
        assert one.shape == two.shape
        differing = [c.name for c, left, right in zip(columns.columns, one, two, strict=True) if (left != right).any()]
        assert not differing, differing


@QUICK
@given(world=tariffs(), rows=account_rows(), start=st.sampled_from(INSTANTS), offset=st.integers(-400, 400),
       length=st.integers(1, 2000), cuts=st.lists(st.integers(0, 2000), max_size=6),
       service=st.sampled_from(["voice", "data"]), account=st.integers(1, 5))
def test_a_session_costs_the_same_in_any_number_of_partials(world, rows, start, offset, length, cuts, service, account):
    """Law 4: from the same balances, one CDR or ten partials. Data partials have the time of their session."""
    versions, decks = world
    base = {"service": service, "direction": "originating", "account_id": account, "number": "4915112345",
            "rating_group": 1, "apn": "Internet", "time_us": start + offset * 1_000_000}
    marks = sorted({0, length, *(c for c in cuts if c < length)})
    scale = 1 if service == "voice" else 300
    whole = [base | {"id": 1, "session": 1, "quantity": length * scale}]
    step_us = 1_000_000 if service == "voice" else 0
    parts = [base | {"id": 1 + n, "session": 1, "quantity": (b - a) * scale, "time_us": base["time_us"] + a * step_us}
             for n, (a, b) in enumerate(pairwise(marks))]
    compiled = compile_world(versions, decks)
    (whole_book, _), (parts_book, _) = open_book(compiled, rows), open_book(compiled, rows)
    one = charge(events_to_cells(whole, APNS), 0, 1, 9, compiled, whole_book, {"apn": APNS})
    if len({compiled.versions[-1].active_from_us <= e["time_us"] for e in parts}) > 1 or len(
            {tuple(p for s, p in rows[account - 1]["plans"] if s <= e["time_us"]) for e in parts}) > 1:
        return  # the partials fall under two versions or plans: two prices, by event time
    many = charge(events_to_cells(parts, APNS), 0, len(parts), 9, compiled, parts_book, {"apn": APNS})
    if len(one.suspense):
        assert len(many.suspense) == len(parts)
        return
    for name in ("charge_nanos", "uncollected_nanos", "connect_fee_nanos"):
        assert many.rated[name].sum() == one.rated[name].sum(), name
    if len({(e["time_us"] // 3_600_000_000) for e in parts}) == 1:  # no cycle ends within an hour of one clock hour
        assert many.rated["allowance_quantity"].sum() == one.rated["allowance_quantity"].sum()
        assert np.array_equal(whole_book.records, parts_book.records)
