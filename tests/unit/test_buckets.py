"""Buckets, worked by hand: granted ones with validity, money before money, own prices, blocking, caps, rollover."""

import numpy as np
import pytest

from rating.book import BalanceBook
from rating.charging import charge
from rating.commands import apply_command
from rating.snapshot import from_arrow, to_arrow
from schemas.codes import LedgerAccount, PostingReason, RatingStatus, Reason
from schemas.money import NANOS
from schemas.timepoint import parse_time
from tests.rating_support import check_book, events_to_cells, make_accounts, one_tariff

JANUARY = parse_time("2026-01-01T00:00:00+00:00")
HEAD = """
version: t
active_from: 2026-01-01T00:00:00
time_zone: UTC
currency: EUR
decks: {main: d.csv}
timings:
  hours: [{band: peak, from: "08:00", to: "20:00"}, {band: calm, otherwise: true}]
rates:
  r: {unit: second, slots: [{price: 0.60, per: 60}]}
  m: {unit: octet, slots: [{price: 1.00, per: 1 MB, step: 1 kB}]}
"""
PLANS = """
plans:
  p:
    allowances: [ALLOWANCES]
    prices: [{service: voice, rate: r}, {service: data, rate: m}]
    MORE
"""


class Case:
    """A tariff of one plan with these allowances and buckets, a book, and what happens to it."""

    def __init__(self, folder, allowances="", buckets="", more="", accounts=({"account_id": 1},)):
        text = HEAD + (f"buckets: {{{buckets}}}\n" if buckets else "") + PLANS.replace(
            "ALLOWANCES", allowances).replace("MORE", more)
        self.tariffs, self.book, self.count = one_tariff(folder, text), BalanceBook.create(), 0
        self.postings = [self.book.open_accounts(make_accounts(
            [{"opening": "10", "plans": [(JANUARY, "p")], **row} for row in accounts]), self.tariffs, 0)]

    def send(self, kind, time="2026-06-01T09:00:00Z", account_id=1, **more):
        self.count += 1
        result = apply_command({"id": f"c{self.count}", "kind": kind, "time": time, "account_id": account_id, **more},
                               self.count, self.tariffs, self.book)
        assert len(result.suspense) == 0
        self.postings.append(result.posting)
        return result

    def use(self, quantity, time="2026-06-01T10:00:00+00:00", account=1, service="voice", session=None):
        self.count += 1
        event = {"id": self.count, "service": service, "direction": "originating", "account_id": account,
                 "number": "49301234", "quantity": quantity, "time_us": parse_time(time), "session": session}
        self.book = from_arrow(to_arrow(self.book))
        result = charge(events_to_cells([event]), 0, 1, 1, self.tariffs, self.book)
        self.postings.append(result.posting)
        self.check()
        return result

    def seen(self, *usage, **more):
        """(covered, charge) of a usage."""
        rated = self.use(*usage, **more).rated
        return rated["allowance_quantity"][0], rated["charge_nanos"][0] / NANOS

    def left(self, account=1):
        rows, _, left, _, _ = self.book.buckets()
        return sorted(left[self.book.account_ids[rows] == account].tolist())

    def money(self, account=1):
        return self.book.money(self.book.row_of(account)) / NANOS

    def check(self):
        check_book(self.book, self.tariffs, self.postings)


def test_granted_buckets_go_by_priority_then_by_their_end(tmp_path):
    case = Case(tmp_path, "{name: a, unit: second, amount: 10, cycle: month, priority: 50}",
                "late: {unit: second, amount: 30, priority: 90}, early: {unit: second, amount: 20, priority: 10}")
    long = case.send("grant", bucket="early", to="2026-06-20T00:00:00Z").posting["bucket_id"][0]
    short = case.send("grant", bucket="early", to="2026-06-10T00:00:00Z").posting["bucket_id"][0]
    case.send("grant", bucket="late")
    assert case.seen(25) == (25, 0)         # 20 of the one that ends first, 5 of the other
    left = dict(zip(case.book.buckets()[1].tolist(), case.book.buckets()[2].tolist(), strict=True))
    assert (left[short], left[long]) == (0, 15)
    assert case.seen(20) == (20, 0)         # 15 of it, 5 of the month's
    assert case.seen(40) == (35, 0.05)      # 5, 30 of the late one, 5 s for money
    assert case.left() == [0, 0, 0, 0]


def test_a_granted_bucket_is_used_within_its_validity_only(tmp_path):
    case = Case(tmp_path, buckets="b: {unit: second, amount: 100, validity: 2 d}")
    case.send("grant", bucket="b", **{"from": "2026-06-03T00:00:00Z"})
    assert case.seen(10, "2026-06-02T23:59:59+00:00") == (0, 0.1)
    assert case.seen(10, "2026-06-03T00:00:00+00:00") == (10, 0)
    assert case.seen(10, "2026-06-05T00:00:00+00:00") == (0, 0.1)
    assert case.seen(10, "2026-06-04T23:59:59+00:00") == (10, 0)   # late, but it is not closed yet
    case.send("clock", "2026-06-08T00:00:00Z")
    assert case.left() == [] and case.seen(10, "2026-06-04T00:00:00+00:00") == (0, 0.1)


def test_money_of_a_bucket_pays_before_the_balance(tmp_path):
    case = Case(tmp_path, "{name: credit, unit: money, amount: 1.00, cycle: month, services: [voice]}",
                "gift: {unit: money, amount: 0.50, priority: 1, services: [data], validity: 3 d}")
    case.send("grant", bucket="gift")
    result = case.use(80)
    assert result.rated["charge_nanos"][0] == 800_000_000 and case.money() == 10
    pairs = list(zip(*(result.posting[n].tolist() for n in ("ledger_account", "unit", "currency", "amount")),
                     strict=True))
    assert pairs[:2] == [(LedgerAccount.ALLOWANCE, 3, 0, NANOS), (LedgerAccount.GRANT, 3, 0, -NANOS)]
    assert pairs[2:] == [(LedgerAccount.ALLOWANCE, 3, 0, -800_000_000), (LedgerAccount.REVENUE, 3, 0, 800_000_000)]
    case.use(50)
    assert case.money() == 9.7 and case.left() == [0, 500_000_000]
    case.use(700_000, service="data")
    assert case.money() == 9.5 and case.left() == [0, 0]


def test_covered_units_cost_their_own_price_while_they_last(tmp_path):
    case = Case(tmp_path, "{name: cheap, unit: second, amount: 60, cycle: month, price: 0.06, per: 60}")
    assert case.seen(30) == (30, 0.03)
    assert case.seen(50) == (30, 0.23)      # 30 s at 0.06, 20 s at 0.60 a minute
    assert case.money() == 9.74


def test_behind_a_used_up_bucket_that_blocks_nothing_pays(tmp_path):
    case = Case(tmp_path, "{name: own, unit: second, amount: 10, cycle: month, priority: 1, blocking: true}, "
                "{name: more, unit: second, amount: 99, cycle: month, priority: 2}")
    result = case.use(25)
    assert (result.rated["allowance_quantity"][0], result.rated["charge_nanos"][0]) == (10, 150_000_000)
    assert result.rated["uncollected_nanos"][0] == 150_000_000
    assert result.rated["status"][0] == RatingStatus.PARTLY_UNCOLLECTED
    assert PostingReason.UNCOLLECTED_BLOCKED in result.posting["reason"].tolist()
    assert case.money() == 10 and case.left() == [0, 99]


def test_a_blocked_session_owes_the_same_in_any_partials(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    allowance = "{name: own, unit: second, amount: 31, cycle: month, price: 0.01, per: 7, blocking: true}"
    whole, parts = Case(tmp_path / "a", allowance), Case(tmp_path / "b", allowance)
    one = whole.use(100, session=1).rated
    many = [parts.use(n, f"2026-06-01T10:00:{at:02d}+00:00", session=1).rated
            for n, at in ((17, 0), (13, 17), (9, 30), (20, 39))] + [parts.use(41, "2026-06-01T10:00:59+00:00",
                                                                              session=1).rated]
    for name in ("charge_nanos", "uncollected_nanos", "allowance_quantity"):
        assert sum(int(part[name][0]) for part in many) == one[name][0], name
    assert whole.money() == parts.money() < 10


def test_a_used_up_bucket_of_money_blocks_too(tmp_path):
    case = Case(tmp_path, "{name: limit, unit: money, amount: 0.20, cycle: month, blocking: true}")
    result = case.use(30)
    assert result.rated["uncollected_nanos"][0] == 100_000_000 and case.money() == 10


def test_a_member_takes_at_most_its_cap_of_a_shared_allowance_in_a_cycle(tmp_path):
    family = [{"account_id": 1}, *({"account_id": n, "shared": 1} for n in range(2, 52))]
    case = Case(tmp_path, "{name: pool, unit: second, amount: 1000, cycle: month, member_cap: 30, step: 4}",
                accounts=[dict(row, plans=[(JANUARY, "p")] if row["account_id"] == 1 else [(JANUARY, "q")])
                          for row in family], more="\n  q: {prices: [{service: voice, rate: r}]}")
    assert case.seen(40, account=2) == (30, 0.1)       # 28 in steps, then the rest of the cap exactly
    assert case.seen(10, account=2) == (0, 0.1)
    for member in range(3, 40):
        case.use(25, account=member)
    assert case.left() == [1000 - 30 - 34 * 28 - 18]    # the pool ends within the 35th
    assert case.seen(5, "2026-07-01T00:00:00+00:00", account=2) == (8, 0)   # a new cycle, a new cap
    case.send("clock", "2027-06-01T00:00:00Z")
    assert case.book.sessions[:, 0].any() == np.False_  # what was counted of the caps is forgotten in time


def test_an_allowance_of_bands_covers_only_what_is_used_in_them(tmp_path):
    case = Case(tmp_path, "{name: night, unit: second, amount: 1000, cycle: month, timing: hours, bands: [calm]}")
    assert case.seen(60, "2026-06-01T07:59:30+00:00") == (30, 0.3)
    assert case.seen(60, "2026-06-01T19:59:30+00:00") == (30, 0.3)
    assert case.seen(60, "2026-06-01T12:00:00+00:00") == (0, 0.6)
    assert case.seen(43_260, "2026-06-01T07:59:30+00:00") == (60, 432.0)


@pytest.mark.parametrize(("order", "left"), [("before", [0, 1000, 600]), ("after", [200, 800, 600])])
def test_what_is_left_rolls_over_up_to_the_cap(tmp_path, order, left):
    case = Case(tmp_path, "{name: v, unit: octet, amount: 1000, cycle: month, "
                f"rollover: {{cap: 200, order: {order}}}}}")
    case.use(200, "2026-06-10T00:00:00+00:00", service="data")
    result = case.use(200, "2026-07-02T00:00:00+00:00", service="data")
    moved = result.posting["reason"] == PostingReason.ROLLOVER
    assert result.posting["amount"][moved].tolist() == [-200, 200]
    assert len(set(result.posting["bucket_id"][moved].tolist())) == 2
    assert case.left() == sorted(left)     # of June 600 stay for late usage
    case.send("clock", "2026-07-04T00:00:00Z")
    assert case.left() == sorted(left[:2])
    case.send("clock", "2026-08-04T00:00:00Z")  # the rest of July rolls into August, what was rolled does not again
    assert case.left() == [200]


def test_a_cycle_that_nobody_looked_at_afterwards_rolls_over_when_it_is_closed(tmp_path):
    case = Case(tmp_path, "{name: v, unit: octet, amount: 1000, cycle: month, rollover: {cap: 900}}",
                accounts=({"account_id": 1, "anchor": 31, "zone": "America/New_York"},))
    case.use(400, "2026-02-10T00:00:00+00:00", service="data")
    # The cycle ends at midnight of 28 February in New York.
    assert len(case.send("clock", "2026-03-03T04:59:59Z").posting) == 0
    closed = case.send("clock", "2026-03-03T05:00:00Z")
    assert closed.posting["reason"].tolist() == [PostingReason.ROLLOVER] * 2 and case.left() == [600]
    assert case.seen(700, "2026-03-05T00:00:00+00:00", service="data") == (700, 0)
    assert case.left() == [0, 900]
    case.send("clock", "2026-04-03T03:59:59Z")      # 31 March: summer time has begun on the 8th
    assert case.left() == [0, 900]
    case.send("clock", "2026-04-03T04:00:00Z")
    assert case.left() == [900]


def test_a_week_begins_on_monday(tmp_path):
    case = Case(tmp_path, "{name: w, unit: second, amount: 60, cycle: week}")
    assert case.seen(60, "2026-06-07T23:59:00+00:00") == (60, 0)   # a Sunday
    assert case.seen(60, "2026-06-08T00:00:00+00:00") == (60, 0)
    assert case.seen(1, "2026-06-14T23:59:00+00:00") == (0, 0.01)
    assert case.send("clock", "2026-06-18T00:00:00Z").posting["amount"].tolist() == []
    assert case.left() == []


@pytest.mark.parametrize(("rule", "covered"), [("pay", 0), ("current_cycle", 10)])
def test_late_usage_of_a_closed_period_meets_what_the_plan_says(tmp_path, rule, covered):
    case = Case(tmp_path, "{name: a, unit: second, amount: 60, cycle: month}", more=f"late_usage: {rule}")
    case.send("clock", "2026-07-01T20:00:00Z")
    assert case.seen(10, "2026-06-30T10:00:00+00:00")[0] == 10      # not closed yet
    case.send("period_close", "2026-07-01T20:00:00Z", through="2026-06-30")
    assert case.seen(10, "2026-06-30T10:00:00+00:00")[0] == covered
    assert case.left() == ([50] if covered else [])                 # of July


def test_late_usage_may_be_set_aside(tmp_path):
    case = Case(tmp_path, "{name: a, unit: second, amount: 60, cycle: month}", more="late_usage: suspend")
    case.send("clock", "2026-07-05T00:00:00Z")
    result = case.use(10, "2026-06-30T10:00:00+00:00")
    assert [Reason(r) for r in result.suspense["reason"]] == [Reason.PERIOD_CLOSED] and len(result.posting) == 0


def test_sixty_buckets_beside_nine_allowances_and_a_cut_within(tmp_path):
    allowances = ", ".join(f"{{name: a{n}, unit: second, amount: 10, cycle: month}}" for n in range(9))
    case = Case(tmp_path, allowances, "b: {unit: second, amount: 5, validity: 30 d, priority: 1}")
    for _ in range(60):
        case.send("grant", bucket="b")
    assert case.seen(350) == (350, 0)
    assert case.seen(50) == (40, 0.1)
    case.send("clock", "2026-07-05T00:00:00Z")
    assert case.left() == [] and case.book.scalars[4] == 0
    assert case.seen(7, "2026-07-06T00:00:00+00:00") == (7, 0)


def test_usage_of_an_account_that_is_barred_is_charged_and_says_so(tmp_path):
    case = Case(tmp_path)
    case.send("state", state="barred")
    barred = case.use(10)
    assert (barred.rated["refusal"][0], barred.rated["charge_nanos"][0]) == (4010, 100_000_000)
    case.send("state", state="pre_active")
    first = case.use(10)
    assert first.rated["refusal"][0] == -1 and first.account_state["state"].tolist() == [1]
    assert len(case.use(10).account_state) == 0
    case.send("state", state="one_way")
    assert case.use(10).rated["refusal"][0] == 4010
