"""Charge a block: select prices, fold events into the book, check the laws. Same arguments, same bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rating.aside import Origins
from rating.book import BalanceBook, currency_label
from rating.gathered import Gathered, Usual, apart
from rating.kernels.choices import answer_nb, ask_nb
from rating.kernels.fold import fold_nb
from rating.kernels.holds import RELEASE_POSTINGS
from rating.kernels.layout import (
    B_SPILLED,
    C_ASK,
    CANDIDATE_WORDS,
    CHARGE,
    CHOICE,
    G_ASKED,
    G_NEXT,
    G_NOTIFIED,
    G_POSTED,
    G_RATED,
    G_TURNS,
    MARK_WORDS,
    MAX_CANDIDATES,
    MAX_COUNTERS,
    MAX_PLANS,
    OWN,
    POSTING_USUAL,
    PROGRESS,
    RATED_USUAL,
    WALK,
)
from rating.kernels.select import UNKNOWN_PLAN, select_nb
from rating.laws import check_postings
from rating.legs import Legs, keep_legs, plans_of_legs
from rating.states import apply_states
from reference_data.accounts import PLAN_SEPARATOR
from reference_data.tariffs.compile import Tariffs
from schemas.columns import I64, Cells
from schemas.identity_change import IDENTITY_CHANGE
from schemas.rated import ACCOUNT_STATE, LEG_SUSPENSE, NOTIFICATION, POSTING, RATED
from schemas.tariff_tables import COUNTER_THRESHOLD_FIRST, ENTRY_COUNTER_FIRST, FAMILY_SCOPE, RATE_COUNTER, SCOPE_DAY

CHUNK = 2048  # events: what selection finds for them stays in the second level of the cache
_LIKELY_POSTINGS = 3  # rows an event; where that is too few more room is made
WORST_POSTINGS = 4 * MAX_CANDIDATES + 10 + RELEASE_POSTINGS
_RATED, _POSTING = Usual(RATED, {"journal_position": 0} | RATED_USUAL, OWN), Usual(POSTING, POSTING_USUAL)
_NO_LEGS = np.zeros((2, 0), np.int64)
_NONE = {columns.name: Cells.empty(columns) for columns in (NOTIFICATION, ACCOUNT_STATE, LEG_SUSPENSE, IDENTITY_CHANGE)}


@dataclass(frozen=True)
class Charged:
    """rated, posting, suspense, notification and account_state cells, in the order of the events.

    Usage columns of rated are the block's own where every row of it was charged: it must not be changed any more. A
    charge leg is a further row of rated behind its event's; one that cannot be priced is in leg_suspense. The book was
    changed in place. turns: pieces into which sessions were cut to price them. answers: what became of wishes.
    identity_change: what a command changed in the inventory. refusal: why a command was not carried out, in words.
    """

    rated: Cells
    posting: Cells
    suspense: Cells
    notification: Cells = field(default_factory=lambda: _NONE[NOTIFICATION.name])
    turns: int = 0
    account_state: Cells = field(default_factory=lambda: _NONE[ACCOUNT_STATE.name])
    leg_suspense: Cells = field(default_factory=lambda: _NONE[LEG_SUSPENSE.name])
    answers: "Answers | None" = None
    identity_change: Cells = field(default_factory=lambda: _NONE[IDENTITY_CHANGE.name])
    refusal: str = ""


@dataclass(frozen=True)
class Wishes:
    """What is wanted of each row of a block, beside usage that is charged as it is.

    ask (rows,): CHARGE, REPORT, RESERVE, RELEASE, DEBIT or PRICE_ENQUIRY of `rating.kernels.layout`. least (rows,):
    fewer units than this are not worth reserving. REPORT, RESERVE and RELEASE are of rows with a session key of theirs.
    """

    ask: I64
    least: I64


@dataclass(frozen=True)
class Answers:
    """For each row of a block with wishes. granted: units reserved, debited or priced, 0 where they cannot be paid,
    ABSENT where nothing was asked; due: nanos that they cost beyond what the session was charged before; reason: why
    there is no price for it, `schemas.codes.Reason`."""

    granted: I64
    due: I64
    reason: I64


def charge(block: Cells, start: int, stop: int, journal_position: int, tariffs: Tariffs, book: BalanceBook,
           labels: Mapping[str, Sequence[str]] | None = None, wishes: Wishes | None = None,
           legs_only: I64 | None = None, names: "Names | None" = None) -> Charged:
    """Price usage rows [start, stop) of `block` and debit them, or do with them what `wishes` of all its rows say.

    labels: names behind the block's label columns; prices look at "apn", "other_network" and "category". Those that
    charging adds index `tariffs.labels`. legs_only: of every event of the block, which was charged before, only the
    legs of these bits (`keep_legs`). names: `names_of` these, where the caller has them. Raises InvariantError:
    charges and postings differ.
    """
    count = stop - start
    usage = np.ascontiguousarray(block.matrix)
    names = names or names_of(tariffs, book, labels)
    legs, plan_of, places = names.legs, names.plan_of, names.places
    more = 1 + legs.most
    origins = Origins(usage, start, stop, more)
    rated = Gathered(_RATED.but(0, journal_position), more * count)
    posting = Gathered(_POSTING, more * _LIKELY_POSTINGS * count + WORST_POSTINGS)
    notification = Cells.empty(NOTIFICATION, names.most_notified)
    progress = np.zeros(PROGRESS, np.int64)
    chosen = apart(CHOICE, min(CHUNK, count))
    scratch = np.zeros((MAX_CANDIDATES, CANDIDATE_WORDS), np.int64)
    walk = np.zeros(WALK, np.int64)
    marks = np.zeros((MAX_COUNTERS, MARK_WORDS), np.int64)
    chosen[C_ASK] = CHARGE
    answers, idle = None, 0
    if wishes is not None:
        answers = Answers(*np.empty((3, count), np.int64))  # of every row
        book.make_holds(count)

    def select(low: int, high: int, of: I64, found: I64) -> None:
        select_nb(usage, low, high, tariffs.tables, tariffs.slots, tariffs.leaves, book.index, book.profile,
                  book.nodes, book.friends, plan_of, places, of, found)

    for low in range(start, stop, CHUNK):
        high = min(low + CHUNK, stop)
        choice, rows, before = chosen, high - low, int(progress[G_RATED])
        select(low, high, _NO_LEGS, choice)
        if wishes is not None:
            ask_nb(choice, rows, wishes.ask, wishes.least, low)
        if legs:
            choice, rows = legs.add(usage, rows, choice, lambda of, found, priced: select(0, found, of, priced))
        if legs_only is not None:
            keep_legs(choice[:, :rows], legs_only[low:high])
        book.make_room(rows * names.rows_per_event)
        rated.make_room(before, rows)
        progress[G_NEXT], progress[G_ASKED] = 0, -1
        while progress[G_NEXT] < rows:
            left = rows - int(progress[G_NEXT])
            posting.make_room(int(progress[G_POSTED]), _LIKELY_POSTINGS * left + WORST_POSTINGS)
            fold_nb(usage, choice, rows, tariffs.tables, journal_position, book.records, book.profile,
                    book.spill, book.sessions, book.scalars, book.zones, book.holds, places[0], scratch, walk, marks,
                    rated.matrix, posting.matrix, notification.matrix, progress, (book.nodes, plan_of, tariffs.rolls))
            if progress[G_NEXT] < rows:  # it stopped for room: of postings, of notifications, or of spilled buckets
                notification = _roomier(notification, int(progress[G_NOTIFIED]), names.most_notified)
                book.make_room((rows - int(progress[G_NEXT])) * names.rows_per_event + 2 * MAX_CANDIDATES)
                if book.scalars[B_SPILLED] + MAX_CANDIDATES > book.spill.shape[0]:
                    book.grow_spill()
        if answers is not None:
            idle += answer_nb(choice, rows, low - start, answers.granted, answers.due, answers.reason)
        origins.add(choice, rows, int(progress[G_RATED]) - before, low, high)
    priced = Cells(RATED, origins.charged(), rated.matrix[:, :progress[G_RATED]])
    charged = Charged(priced, Cells(POSTING, posting.matrix[:, :progress[G_POSTED]]), origins.events(tariffs),
                      notification.slice(0, int(progress[G_NOTIFIED])), int(progress[G_TURNS]),
                      apply_states(book, tariffs, priced, journal_position), origins.legs(), answers)
    check_postings(charged, count - idle if legs_only is None else 0)
    return charged


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


@dataclass(frozen=True)
class Names:
    """What names of the book and of a batch are in the tariffs, and what follows from the tariffs alone.

    plan_of, places: what `select_nb` takes; places begin with the currencies. rows_per_event: of the table of open
    sessions; most_notified: thresholds that one event may reach.
    """

    plan_of: I64
    places: tuple[I64, I64, I64, I64]
    legs: Legs
    rows_per_event: int
    most_notified: int


def names_of(tariffs: Tariffs, book: BalanceBook, labels: Mapping[str, Sequence[str]] | None) -> Names:
    """`Names` of a batch with these labels. They hold as long as no list of names grows."""
    given = labels or {}

    def named(column: str, known: Sequence[str], first: int, unknown: int) -> I64:
        place = {name: i for i, name in enumerate(known, first)}
        return np.array([place.get(name, unknown) for name in given.get(column, ())], np.int64)

    apn = {name: i for i, name in enumerate(tariffs.apns)}
    currency = np.array([currency_label(tariffs, name) for name in book.currencies], np.int64)
    return Names(plans_of(tariffs, book), (
        currency, np.array([apn.get(name.lower(), -2) for name in given.get("apn", ())], np.int64),
        named("other_network", tariffs.networks, 0, -1), named("category", tariffs.categories, 1, 0)),
        Legs(tariffs, labels, len(book.plans)), _rows_per_event(tariffs), _worst_notifications(tariffs))


def plans_of(tariffs: Tariffs, book: BalanceBook) -> I64:
    """The plans of each name of the book as places in the tariff, then each plan of the tariff alone, for legs."""
    plan = {name: i for i, name in enumerate(tariffs.labels["plan"])}
    found = np.full((len(book.plans), MAX_PLANS), -1, np.int64)
    for row, joined in enumerate(book.plans):
        places = [plan.get(name, UNKNOWN_PLAN) for name in joined.split(PLAN_SEPARATOR)]
        found[row, : len(places)] = places
    return np.concatenate([found, plans_of_legs(tariffs)])
