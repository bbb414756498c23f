"""Charge a block: select prices, fold events into the book, check the laws. Same arguments, same bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rating.aside import Aside
from rating.book import BalanceBook, currency_label
from rating.gathered import Gathered, piece_of
from rating.kernels.fold import fold_nb
from rating.kernels.layout import (
    B_SPILLED,
    C_REASON,
    CANDIDATE_WORDS,
    CHOICE,
    G_FIRST,
    G_NEXT,
    G_NOTIFIED,
    G_POSTED,
    G_RATED,
    G_TURNS,
    MARK_WORDS,
    MAX_CANDIDATES,
    MAX_COUNTERS,
    MAX_PLANS,
    P_LEG,
    PROGRESS,
    WALK,
)
from rating.kernels.select import UNKNOWN_PLAN, select_nb
from rating.legs import Legs, plans_of_legs
from rating.states import apply_states
from reference_data.accounts import PLAN_SEPARATOR
from reference_data.tariffs.compile import Tariffs
from schemas.codes import LedgerAccount
from schemas.columns import ABSENT, I64, Cells
from schemas.errors import InvariantError
from schemas.money import exact_sum
from schemas.rated import ACCOUNT_STATE, LEG_SUSPENSE, NOTIFICATION, POSTING, RATED
from schemas.tariff_tables import COUNTER_THRESHOLD_FIRST, ENTRY_COUNTER_FIRST, FAMILY_SCOPE, RATE_COUNTER, SCOPE_DAY
from schemas.usage import USAGE

CHUNK = 2048  # events whose rows, in all their columns, stay in the second level of the cache
_WORST_POSTINGS = 4 * MAX_CANDIDATES + 10
_OWN = len(USAGE.columns)
_NO_LEGS = np.zeros((2, 0), np.int64)


@dataclass(frozen=True)
class Charged:
    """rated, posting, suspense, notification and account_state cells, in the order of the events.

    A charge leg is a further row of rated behind its event's; one that cannot be priced is in leg_suspense. The book
    was changed in place. turns: pieces into which sessions were cut to price them.
    """

    rated: Cells
    posting: Cells
    suspense: Cells
    notification: Cells = field(default_factory=lambda: Cells.empty(NOTIFICATION))
    turns: int = 0
    account_state: Cells = field(default_factory=lambda: Cells.empty(ACCOUNT_STATE))
    leg_suspense: Cells = field(default_factory=lambda: Cells.empty(LEG_SUSPENSE))


def charge(block: Cells, start: int, stop: int, journal_position: int, tariffs: Tariffs, book: BalanceBook,
           labels: Mapping[str, Sequence[str]] | None = None) -> Charged:
    """Price usage rows [start, stop) of `block` and debit them.

    labels: names behind the block's label columns; prices look at "apn", "other_network" and "category". Those that
    charging adds index `tariffs.labels`. Raises InvariantError: charges and postings differ.
    """
    count = stop - start
    small = min(CHUNK, count)
    rated, posting, aside = Gathered(RATED, count), Gathered(POSTING, 3 * count), Aside()
    piece, posted = piece_of(len(RATED.columns), small), piece_of(len(POSTING.columns), 2 * small + _WORST_POSTINGS)
    chosen = piece_of(CHOICE, small)
    notification = Cells.empty(NOTIFICATION, _worst_notifications(tariffs))
    rows_per_event = _rows_per_event(tariffs)
    progress = np.zeros(PROGRESS, np.int64)
    plan_of, places = places_of(tariffs, book, labels)
    legs = Legs(tariffs, labels, len(book.plans))
    scratch = np.zeros((MAX_CANDIDATES, CANDIDATE_WORDS), np.int64)
    walk = np.zeros(WALK, np.int64)
    marks = np.zeros((MAX_COUNTERS, MARK_WORDS), np.int64)
    posted[P_LEG] = ABSENT

    def select(usage: I64, rows: int, of: I64, found: I64) -> None:
        select_nb(usage, 0, rows, tariffs.tables, tariffs.slots, tariffs.leaves, book.index, book.profile,
                  book.nodes, book.friends, plan_of, places, of, found)

    for low in range(start, stop, CHUNK):
        rows = min(low + CHUNK, stop) - low
        usage, choice = piece[:_OWN], chosen
        usage[:, :rows] = block.matrix[:, low : low + rows]
        select(usage, rows, _NO_LEGS, choice)
        if legs:
            more, choice = legs.add(usage, 0, rows, np.ascontiguousarray(choice[:, :rows]),
                                    lambda further, of, found: select(further, further.shape[1], of, found))
            rows = choice.shape[1]
            if rows > piece.shape[1]:
                piece = piece_of(len(RATED.columns), rows)
                usage = piece[:_OWN]
            usage[:, :rows] = more
        book.make_room(rows * rows_per_event)
        progress[G_NEXT] = progress[G_RATED] = 0
        while progress[G_NEXT] < rows:
            fold_nb(usage, 0, rows, choice, tariffs.tables, journal_position, book.records, book.profile,
                    book.spill, book.sessions, book.scalars, book.zones, scratch, walk, marks,
                    piece, posted, notification.matrix, progress)
            posting.add(posted, int(progress[G_POSTED]))
            if legs:
                posted[P_LEG] = ABSENT  # what writes postings says their leg only where it is one
            progress[G_FIRST] -= progress[G_POSTED]
            progress[G_POSTED] = 0
            if progress[G_NEXT] < rows:  # it stopped for room: of postings, of notifications, or of spilled buckets
                notification = _roomier(notification, int(progress[G_NOTIFIED]), _worst_notifications(tariffs))
                book.make_room((rows - int(progress[G_NEXT])) * rows_per_event + 2 * MAX_CANDIDATES)
                if book.scalars[B_SPILLED] + MAX_CANDIDATES > book.spill.shape[0]:
                    book.grow_spill()
        if progress[G_RATED] < rows:
            aside.add(usage, choice, rows)
            usage[:, : progress[G_RATED]] = usage[:, np.flatnonzero(choice[C_REASON, :rows] == 0)]
        rated.add(piece, int(progress[G_RATED]))
    charged = Charged(rated.cells(), posting.cells(), aside.events(tariffs),
                      notification.slice(0, int(progress[G_NOTIFIED])), int(progress[G_TURNS]),
                      leg_suspense=aside.legs())
    charged = replace(charged, account_state=apply_states(book, tariffs, charged.rated, journal_position))
    check_postings(charged, count)
    return charged


def check_postings(charged: Charged, events: int) -> None:
    """Every event came out once, whatever its charge legs; every movement sums to zero; charges equal what was posted
    as revenue, tax included."""
    rated = int((charged.rated["leg"] == 0).sum())
    if rated + len(charged.suspense) != events:
        raise InvariantError(f"{events} events came in; {rated} rated and {len(charged.suspense)} "
                             "suspended came out")
    check_movements(charged.posting)
    matrix = charged.posting
    amount = matrix["amount"]
    taxed = exact_sum(amount[matrix["ledger_account"] == LedgerAccount.TAX])
    revenue = exact_sum(amount[matrix["ledger_account"] == LedgerAccount.REVENUE]) + taxed
    charges = exact_sum(charged.rated["charge_nanos"])
    if revenue != charges:
        raise InvariantError(f"charges of {charges} nanos, postings of {revenue}")
    tax = charged.rated["tax_nanos"]
    if taxed != exact_sum(tax[tax != ABSENT]):
        raise InvariantError(f"tax: {taxed} nanos posted, {exact_sum(tax[tax != ABSENT])} rated")
    lost = -exact_sum(amount[matrix["ledger_account"] == LedgerAccount.UNCOLLECTED])
    if lost != exact_sum(charged.rated["uncollected_nanos"]):
        raise InvariantError(f"uncollected: {lost} nanos posted, {exact_sum(charged.rated['uncollected_nanos'])} rated")


def _roomier(cells: Cells, used: int, worst: int) -> Cells:
    """The cells, twice as long when the next event may need more than they have."""
    if used + worst <= len(cells):
        return cells
    larger = Cells.empty(cells.columns, 2 * len(cells) + worst)
    larger.matrix[:, :used] = cells.matrix[:, :used]
    return larger


def _rows_per_event(tariffs: Tariffs) -> int:
    """Rows of the table of open sessions that an event may add: its own, its counters', its price's over a cycle."""
    first = tariffs.tables[ENTRY_COUNTER_FIRST]
    counted = int(np.diff(first).max(initial=0))
    adds_up = bool((tariffs.tables[FAMILY_SCOPE] == SCOPE_DAY).any() or (tariffs.tables[RATE_COUNTER] >= 0).any())
    return 1 + counted + int(adds_up)


def _worst_notifications(tariffs: Tariffs) -> int:
    """Thresholds that one event may reach."""
    return int(np.diff(tariffs.tables[COUNTER_THRESHOLD_FIRST]).max(initial=0)) * MAX_COUNTERS


def check_movements(posting: Cells) -> None:
    """Every leg of every movement is two rows of one unit and currency that sum to zero."""
    amount, unit, currency = posting["amount"], posting["unit"], posting["currency"]
    if (amount[0::2] + amount[1::2]).any() or (unit[0::2] != unit[1::2]).any() or (
            currency[0::2] != currency[1::2]).any() or (amount == 0).any():
        raise InvariantError("a movement does not sum to zero")


def places_of(tariffs: Tariffs, book: BalanceBook, labels: Mapping[str, Sequence[str]] | None
              ) -> tuple[I64, tuple[I64, I64, I64, I64]]:
    """What `select_nb` takes as plan_of and places: names of the book and the batch as places in the tariff."""
    plan = {name: i for i, name in enumerate(tariffs.labels["plan"])}
    plan_of = np.full((len(book.plans), MAX_PLANS), -1, np.int64)
    for row, joined in enumerate(book.plans):
        found = [plan.get(name, UNKNOWN_PLAN) for name in joined.split(PLAN_SEPARATOR)]
        plan_of[row, : len(found)] = found
    given = labels or {}

    def named(column: str, known: Sequence[str], first: int, unknown: int) -> I64:
        place = {name: i for i, name in enumerate(known, first)}
        return np.array([place.get(name, unknown) for name in given.get(column, ())], np.int64)

    apn = {name: i for i, name in enumerate(tariffs.apns)}
    currency = np.array([currency_label(tariffs, name) for name in book.currencies], np.int64)
    return np.concatenate([plan_of, plans_of_legs(tariffs)]), (
        currency, np.array([apn.get(name.lower(), -2) for name in given.get("apn", ())], np.int64),
        named("other_network", tariffs.networks, 0, -1), named("category", tariffs.categories, 1, 0))
