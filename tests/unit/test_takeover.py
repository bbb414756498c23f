"""Whether a book can be charged by other tariffs: what would leave an account without its price is found."""


import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corrections.kept import tariffs_of_texts
from pipelines.serve.takeover import _holders, check_takeover
from rating.arrays import aligned, grown
from rating.book import NEVER_US, NO_CLOCK_US, BalanceBook
from rating.kernels.layout import F_ACCOUNT, F_PLAN, F_PLAN_FROM, F_PLAN_NEXT, F_SPILL, PROFILE_WORDS
from reference_data.accounts import PLAN_SEPARATOR
from reference_data.tariffs.compile import Tariffs
from schemas.errors import ReferenceDataError
from schemas.timepoint import parse_time

NOW = parse_time("2026-06-01T00:00:00Z")
PLANS = ("a", "b", f"a{PLAN_SEPARATOR}c")
HEAD = """version: {name}
active_from: {begins}
time_zone: UTC
currency: {currency}
decks: {{main: d.csv}}
rates:
  sms: {{unit: message, slots: [{{price: "0.07"}}]}}
plans:
"""
PLAN = """  {name}:
    prices:
      - {{service: sms, rate: sms}}
"""


def tariffs(*versions: tuple[str, str, str], currency: str = "EUR") -> Tariffs:
    """(name, when it begins, its plans as letters) of each version."""
    texts = {f"{name}.yaml": HEAD.format(name=name, begins=begins, currency=currency) + "".join(
        PLAN.format(name=plan) for plan in plans) for name, begins, plans in versions}
    return tariffs_of_texts({"d.csv": "prefix,zone\n4,near\n", **texts})


def book_of(points: list[list[tuple[int, int]]]) -> BalanceBook:
    """Change points (time, plan or -1) of each account."""
    book = BalanceBook.create()
    book.plans, book.currencies = list(PLANS), ["EUR"]
    book.profile = grown(aligned(0, PROFILE_WORDS), len(points))
    book.profile[:, F_ACCOUNT] = np.arange(len(points))
    book.profile[:, [F_PLAN, F_PLAN_NEXT, F_SPILL]] = -1
    book.profile[:, F_PLAN_FROM] = NO_CLOCK_US
    rows = np.array([row for row, own in enumerate(points) for _ in own], np.int64)
    flat = np.array([point for own in points for point in own], np.int64).reshape(-1, 2)
    book.chain_plans(rows, np.ascontiguousarray(flat[:, 0]), np.ascontiguousarray(flat[:, 1]))
    return book


@settings(max_examples=200, deadline=None)
@given(points=st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(-1, 2)), max_size=4,
                                unique_by=lambda point: point[0]), max_size=4),
       from_us=st.integers(0, 20), span=st.one_of(st.integers(1, 20), st.none()))
def test_holders_are_those_whose_plan_it_is_at_some_time_of_the_span(points: list[list[tuple[int, int]]], from_us: int,
                                                                     span: int | None) -> None:
    book = book_of(points)
    to_us = NEVER_US if span is None else from_us + span
    for plan in "abc":
        slow = sum(any(plan in held for _, _, held in book.plans_between(row, from_us, to_us))
                   for row in range(len(points)))
        assert _holders(book, plan, from_us, to_us) == slow


BEFORE = (("one", "2026-01-01T00:00:00", "abc"),)


@pytest.mark.parametrize(("versions", "why"), [
    ((("one", "2026-01-01T00:00:00", "abcd"),), ""),
    ((("one", "2026-01-01T00:00:00", "ac"),), ""),                          # b is over by now
    ((("one", "2026-01-01T00:00:00", "ab"),), "no plan 'c', which 1 accounts have from 2026-06-01"),
    ((*BEFORE, ("two", "2026-07-01T00:00:00", "ab")), "two has no plan 'c', which 1 accounts have from 2026-07"),
    ((*BEFORE, ("two", "2026-09-01T00:00:00", "ab")), ""),                  # c ends in August
    ((*BEFORE, ("two", "2026-09-01T00:00:00", "b")), "no plan 'a'"),
    ((("one", "2026-06-02T00:00:00", "abc"),), "no version of these tariffs is in force from 2026-06-01"),
])
def test_a_plan_may_go_when_nobody_has_it(versions: tuple[tuple[str, str, str], ...], why: str) -> None:
    august = parse_time("2026-08-01T00:00:00Z")
    book = book_of([[(0, 0)], [(0, 1), (NOW - 1, 0)], [(0, 2), (august, 0)]])
    if not why:
        check_takeover(book, tariffs(*BEFORE), tariffs(*versions), NOW)
        return
    with pytest.raises(ReferenceDataError, match=why):
        check_takeover(book, tariffs(*BEFORE), tariffs(*versions), NOW)


def test_what_the_tariffs_of_now_have_not_either_is_no_reason() -> None:
    book = book_of([[(0, 1)]])
    now = tariffs(("one", "2026-01-01T00:00:00", "a"))
    check_takeover(book, now, tariffs(("one", "2026-01-01T00:00:00", "ac")), NOW)


def test_another_currency_is_refused() -> None:
    book, before = book_of([[(0, 0)]]), tariffs(*BEFORE)
    with pytest.raises(ReferenceDataError, match="accounts in EUR, a currency that no version"):
        check_takeover(book, before, tariffs(*BEFORE, currency="USD"), NOW)
    mixed = tariffs_of_texts({
        "d.csv": "prefix,zone\n4,near\n",
        "one.yaml": HEAD.format(name="one", begins="2026-01-01T00:00:00", currency="USD") + PLAN.format(name="a"),
        "old.yaml": HEAD.format(name="old", begins="2025-01-01T00:00:00", currency="EUR") + PLAN.format(name="a")})
    with pytest.raises(ReferenceDataError, match="plan 'a' of version one is in USD; expected EUR"):
        check_takeover(book, before, mixed, NOW)
