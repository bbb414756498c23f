"""Fees: recurring ones when the clock passes the beginning of an account's cycle, all of them when a plan begins.

A plan that begins in the middle of a cycle owes a recurring fee at once: the share of the days that are left with
`prorate`, else all of it. Accounts that are pre-active, terminated or quarantined owe none.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rating.book import NEVER_US, NO_CLOCK_US, BalanceBook, currency_label
from rating.commands.context import Context
from rating.commands.movement import Movement
from rating.kernels.fees import ROWS, debit_fees_nb, plans_at_nb
from rating.kernels.layout import (
    B_CLOCK,
    F_PLAN_FROM,
    F_TRAITS,
    G_NEXT,
    G_POSTED,
    STATE,
    TRAIT_CURRENCY,
    TRAIT_ZONE,
)
from reference_data.accounts import PLAN_SEPARATOR, STATES
from reference_data.tariffs.bounds import raised, tax_part
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.epochs import conversion
from reference_data.tariffs.model import Fee, Plan, TariffVersion
from schemas.columns import ABSENT, I64, Cells
from schemas.cycles import cycle_start, next_cycle
from schemas.money import DECIMALS, round_ratio
from schemas.rated import POSTING
from schemas.timepoint import DAY_S, SECOND_US, local_midnight_us, local_offset_s

FREE_STATES = [STATES.index(name) for name in ("pre_active", "terminated", "quarantined")]
_TRAITS = 0xFFFF << TRAIT_ZONE | 0xFF


@dataclass(frozen=True)
class Due:
    """A fee that an account owes from an instant on."""

    row: int
    time_us: int
    nanos: int
    tax_nanos: int
    debt: bool


def charge_begun(context: Context, movement: Movement, plan: str, from_us: int) -> None:
    """Fees of a plan that begins at an instant which the clock has passed already; later ones are the clock's."""
    clock_us = int(context.book.scalars[B_CLOCK])
    if from_us > clock_us or clock_us == NO_CLOCK_US:
        return
    dues = _of_begin(context.book, context.tariffs, context.row, plan, from_us, turned=False)
    movement.parts.append(_debit(context.book, context.tariffs, dues, context.movement, context.position))


def charge_clock(book: BalanceBook, tariffs: Tariffs, before_us: int, after_us: int, movement: tuple[int, int],
                 position: int) -> Cells:
    """Fees that became due after `before_us` and until `after_us`, of plans that begin and of cycles that begin."""
    if before_us == NO_CLOCK_US or not any(plan.fees for v in tariffs.versions for plan in v.plans.values()):
        return Cells.empty(POSTING)
    dues = _begun(book, tariffs, before_us, after_us) + _turned(book, tariffs, before_us, after_us)
    return _debit(book, tariffs, dues, movement, position)


def _debit(book: BalanceBook, tariffs: Tariffs, dues: list[Due], movement: tuple[int, int], position: int) -> Cells:
    dues = [d for d in dues if int(book.records[d.row, STATE]) not in FREE_STATES and d.nanos > 0]
    if not dues:
        return Cells.empty(POSTING)
    dues.sort(key=lambda d: (d.time_us, d.row))
    fees = np.empty((len(dues), 7), np.int64)
    places: dict[int, int] = {}
    for k, due in enumerate(dues):
        place = places[due.row] = places.get(due.row, -1) + 1
        label = currency_label(tariffs, book.currencies[int(book.profile[due.row, F_TRAITS]) >> TRAIT_CURRENCY & 0xFFF])
        fees[k] = (due.row, due.nanos, label, due.time_us, due.debt, place, due.tax_nanos)
    posting = Cells.empty(POSTING, ROWS * len(dues), fill=ABSENT)
    progress = np.zeros(4, np.int64)
    debit_fees_nb(book.records, book.profile, fees, *movement, position, posting.matrix, progress)
    assert progress[G_NEXT] == len(dues)
    return posting.slice(0, int(progress[G_POSTED]))


def _fees_of(tariffs: Tariffs, plan: str, time_us: int, currency: str) -> tuple[TariffVersion, Plan, list[Fee]] | None:
    """Fees of a plan at an instant; None where accounts of this currency owe none."""
    version = tariffs.version_at(time_us)
    if version is None or plan not in version.plans:
        return None
    terms = version.plans[plan]
    if (terms.currency or version.currency) != currency:
        return None
    return version, terms, [version.fees[name] for name in terms.fees]


def _due(row: int, version: TariffVersion, terms: Plan, fee: Fee, share: Fraction, time_us: int) -> Due:
    """A share of a fee in the plan's currency, exclusive tax added, and the tax in it, rounded as the plan rounds."""
    exact = fee.amount_nanos * share * raised(terms) * conversion(
        version, fee.currency, terms.currency or version.currency, time_us, fee.line)
    quantum = 10 ** (DECIMALS - terms.decimals)
    nanos: int = round_ratio(exact.numerator, exact.denominator * quantum, terms.rounding) * quantum
    part = nanos * tax_part(terms)
    tax = round_ratio(part.numerator, part.denominator * quantum, terms.rounding) * quantum
    return Due(row, time_us, nanos, tax, terms.debt)


def _currency(book: BalanceBook, row: int) -> str:
    return book.currencies[int(book.profile[row, F_TRAITS]) >> TRAIT_CURRENCY & 0xFFF]


def _of_begin(book: BalanceBook, tariffs: Tariffs, row: int, plan: str, from_us: int, turned: bool) -> list[Due]:
    """What a plan that begins owes: one-off fees, and recurring ones for what is left of their cycles.

    turned: whether cycles that begin at that instant are told by `_turned`, as the clock does.
    """
    found = _fees_of(tariffs, plan, from_us, _currency(book, row))
    if found is None:
        return []
    version, terms, fees = found
    traits = int(book.profile[row, F_TRAITS])
    zone, anchor = book.time_zones[traits >> TRAIT_ZONE & 0xFFFF], traits & 0xFF
    day = (from_us // SECOND_US + local_offset_s(zone, from_us)) // DAY_S
    dues = []
    for fee in fees:
        share = Fraction(1)
        if fee.cycle != "none":
            start = cycle_start(fee.cycle, day, anchor)
            begins = local_midnight_us(zone, start) == from_us
            if begins and turned:
                continue
            if fee.prorate and not begins:
                after = next_cycle(fee.cycle, start, anchor)
                share = Fraction(after - day, after - start)
        dues.append(_due(row, version, terms, fee, share, from_us))
    return dues


def _begun(book: BalanceBook, tariffs: Tariffs, before_us: int, after_us: int) -> list[Due]:
    """Plans that begin within the span."""
    if book.plan_due_us > after_us:
        return []
    dues, earliest_us = [], NEVER_US
    for row in np.flatnonzero(book.profile[:, F_PLAN_FROM] > before_us).tolist():
        held: list[str] = []
        for from_us, plans in book.plan_points(row):
            if from_us > after_us:
                earliest_us = min(earliest_us, from_us)
            elif from_us > before_us:
                for plan in plans:
                    if plan not in held:
                        dues += _of_begin(book, tariffs, row, plan, from_us, turned=True)
            held = plans
    book.plan_due_us = earliest_us
    return dues


def _turned(book: BalanceBook, tariffs: Tariffs, before_us: int, after_us: int) -> list[Due]:
    """Cycles that begin within the span, of accounts whose plans then have recurring fees."""
    cycles = {fee.cycle for v in tariffs.versions for fee in v.fees.values()} - {"none"}
    dues: list[Due] = []
    groups: I64 | None = None
    for zone_place, zone in enumerate(book.time_zones):
        day = (before_us // SECOND_US + local_offset_s(zone, before_us)) // DAY_S
        while (start_us := local_midnight_us(zone, day)) <= after_us:
            if start_us > before_us:
                if groups is None:
                    groups = book.profile[:, F_TRAITS] & _TRAITS
                for anchor in range(1, 32):
                    begun = {c for c in cycles if cycle_start(c, day, anchor) == day}
                    if begun:
                        rows = np.flatnonzero(groups == (zone_place << TRAIT_ZONE | anchor))
                        dues += _of_cycle(book, tariffs, rows, begun, start_us)
            day += 1
    return dues


def _of_cycle(book: BalanceBook, tariffs: Tariffs, rows: I64, cycles: set[str], start_us: int) -> list[Due]:
    plans = np.empty(rows.size, np.int64)
    plans_at_nb(book.profile, book.nodes, rows, start_us, plans)
    dues = []
    for number in np.unique(plans[plans >= 0]).tolist():
        for plan in book.plans[number].split(PLAN_SEPARATOR):
            for row in rows[plans == number].tolist():
                dues += _recurring(book, tariffs, row, plan, cycles, start_us)
    return dues


def _recurring(book: BalanceBook, tariffs: Tariffs, row: int, plan: str, cycles: set[str], time_us: int) -> list[Due]:
    found = _fees_of(tariffs, plan, time_us, _currency(book, row))
    if found is None:
        return []
    version, terms, fees = found
    return [_due(row, version, terms, fee, Fraction(1), time_us) for fee in fees if fee.cycle in cycles]
