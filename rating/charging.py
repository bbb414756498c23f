"""Charge a block: select prices, fold events into the book, check the laws. Same arguments, same bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rating.book import BalanceBook, currency_label
from rating.kernels.fold import fold_nb
from rating.kernels.layout import (
    B_SPILLED,
    C_REASON,
    CANDIDATE_WORDS,
    CHOICE,
    G_NEXT,
    G_POSTED,
    G_RATED,
    MAX_CANDIDATES,
    WALK,
)
from rating.kernels.select import select_nb
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.estimate import estimate_nanos
from schemas.codes import LedgerAccount, Reason, Stage
from schemas.columns import ABSENT, I64, Cells
from schemas.errors import InvariantError
from schemas.money import exact_sum
from schemas.rated import POSTING, RATED
from schemas.usage import SUSPENSE, USAGE

CHUNK = 8192
_WORST_POSTINGS = 4 * MAX_CANDIDATES + 6
_OWN = len(USAGE.columns)


@dataclass(frozen=True)
class Charged:
    """rated, posting and suspense cells, in the order of the events; the book was changed in place."""

    rated: Cells
    posting: Cells
    suspense: Cells


def charge(block: Cells, start: int, stop: int, journal_position: int, tariffs: Tariffs, book: BalanceBook,
           labels: Mapping[str, Sequence[str]] | None = None) -> Charged:
    """Price usage rows [start, stop) of `block` and debit them.

    labels: names behind the block's label columns; "apn" is the one that prices look at. Label columns that
    charging adds index `tariffs.labels`. Raises InvariantError: charges and postings differ.
    """
    count = stop - start
    choice = np.empty((CHOICE, count), np.int64)
    rated = Cells.empty(RATED, count)
    posting = Cells.empty(POSTING, 2 * count + _WORST_POSTINGS)
    progress = np.zeros(4, np.int64)
    plan_of, currency_of, apn_of = _places(tariffs, book, labels)
    scratch = np.zeros((MAX_CANDIDATES, CANDIDATE_WORDS), np.int64)
    walk = np.zeros(WALK, np.int64)
    usage = block.matrix
    for low in range(start, stop, CHUNK):
        high = min(low + CHUNK, stop)
        chosen = np.empty((CHOICE, high - low), np.int64)
        select_nb(usage, low, high, tariffs.tables, tariffs.slots, tariffs.leaves, book.index, book.profile,
                  book.nodes, plan_of, currency_of, apn_of, chosen)
        book.make_room(high - low)
        progress[G_NEXT] = low
        while True:
            fold_nb(usage, low, high, chosen, tariffs.tables, journal_position, book.records, book.profile, book.spill,
                    book.sessions, book.scalars, book.zones, scratch, walk,
                    rated.matrix, posting.matrix, progress)
            if progress[G_NEXT] >= high:
                break
            # It stopped for room: of postings, or of spilled buckets.
            if progress[G_POSTED] + _WORST_POSTINGS > posting.matrix.shape[1]:
                larger = Cells.empty(POSTING, 2 * posting.matrix.shape[1] + _WORST_POSTINGS)
                larger.matrix[:, : posting.matrix.shape[1]] = posting.matrix
                posting = larger
            if book.scalars[B_SPILLED] + MAX_CANDIDATES > book.spill.shape[0]:
                book.grow_spill()
        choice[:, low - start : high - start] = chosen
    charged = Charged(_rated(rated, block, start, stop, choice[C_REASON], int(progress[G_RATED])),
                      Cells(POSTING, np.ascontiguousarray(posting.matrix[:, : progress[G_POSTED]])),
                      _suspense(block, start, choice[C_REASON], tariffs))
    check_postings(charged, count)
    return charged


def check_postings(charged: Charged, events: int) -> None:
    """Every event came out once; every leg sums to zero; charges equal what was posted as revenue."""
    if len(charged.rated) + len(charged.suspense) != events:
        raise InvariantError(f"{events} events came in; {len(charged.rated)} rated and {len(charged.suspense)} "
                             "suspended came out")
    matrix = charged.posting
    amount, unit, currency = matrix["amount"], matrix["unit"], matrix["currency"]
    if (amount[0::2] + amount[1::2]).any() or (unit[0::2] != unit[1::2]).any() or (
            currency[0::2] != currency[1::2]).any() or (amount == 0).any():
        raise InvariantError("a movement does not sum to zero")
    revenue = exact_sum(amount[matrix["ledger_account"] == LedgerAccount.REVENUE])
    charges = exact_sum(charged.rated["charge_nanos"])
    if revenue != charges:
        raise InvariantError(f"charges of {charges} nanos, postings of {revenue}")
    lost = -exact_sum(amount[matrix["ledger_account"] == LedgerAccount.UNCOLLECTED])
    if lost != exact_sum(charged.rated["uncollected_nanos"]):
        raise InvariantError(f"uncollected: {lost} nanos posted, {exact_sum(charged.rated['uncollected_nanos'])} rated")


def _places(tariffs: Tariffs, book: BalanceBook, labels: Mapping[str, Sequence[str]] | None) -> tuple[I64, I64, I64]:
    """The book's plans and currencies as the tariff's labels, the batch's APNs as the tariff's; -1 for unknown."""
    plan = {name: i for i, name in enumerate(tariffs.labels["plan"])}
    apn = {name: i for i, name in enumerate(tariffs.apns)}
    return (np.array([plan.get(name, -1) for name in book.plans], np.int64),
            np.array([currency_label(tariffs, name) for name in book.currencies], np.int64),
            np.array([apn.get(name.lower(), -2) for name in (labels or {}).get("apn", ())], np.int64))


def _rated(rated: Cells, block: Cells, start: int, stop: int, reason: I64, count: int) -> Cells:
    """The rows that were charged, with what was known of them before."""
    if count == stop - start:
        rated.matrix[:_OWN] = block.matrix[:, start:stop]
        return rated
    whole = Cells(RATED, np.ascontiguousarray(rated.matrix[:, :count]))
    rows = start + np.flatnonzero(reason == 0)
    for column in range(_OWN):
        np.take(block.matrix[column], rows, out=whole.matrix[column])
    return whole


def _suspense(block: Cells, start: int, reason: I64, tariffs: Tariffs) -> Cells:
    """The rows that were set aside, with an estimate of their value."""
    rows = np.flatnonzero(reason != Reason.OK)
    cells = Cells.empty(SUSPENSE, rows.size, fill=ABSENT)
    if rows.size:
        cells.matrix[:_OWN] = np.take(block.matrix, start + rows, axis=1)
        cells["stage"] = Stage.CHARGE
        cells["reason"] = reason[rows]
        cells["estimate_nanos"] = estimate_nanos(cells["service"], cells["quantity"], tariffs)
    return cells
