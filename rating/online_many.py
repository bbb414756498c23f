"""Many ticks of requests at once, for replay: what one call of `OnlineDesk.serve` for each does, to the book and out.

Nobody waits for answers, and all ticks are at hand: so rows of all of them are gathered in the same columns, and the
fixed cost of a tick is a kernel's and not Python's. Tariffs with charge legs are served tick by tick.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rating.aside import set_aside
from rating.book import SPARE_SESSIONS
from rating.charging import CHUNK, WORST_POSTINGS, Charged, Names
from rating.gathered import Usual, apart
from rating.kernels.layout import (
    B_SPILLED,
    CANDIDATE_WORDS,
    CHOICE,
    G_NOTIFIED,
    G_POSTED,
    G_RATED,
    G_TURNS,
    MARK_WORDS,
    MAX_CANDIDATES,
    MAX_COUNTERS,
    OWN,
    POSTING_USUAL,
    PROGRESS,
    RATED_USUAL,
    WALK,
)
from rating.kernels.online_layout import PLAN_WORDS
from rating.kernels.online_many import (
    MANY_WORDS,
    STATES,
    T_ASIDE,
    T_BEFORE,
    T_BEGUN,
    T_EVENTS,
    T_GRANTS,
    T_NEXT,
    T_ROOM,
    THROUGH,
    serve_many_nb,
)
from rating.kernels.take import fill_columns_nb
from rating.laws import check_postings
from rating.online import OnlineDesk, Served
from rating.states import apply_states, permits_active
from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT, I64, Cells
from schemas.online import ANSWER, GRANT, REQUEST
from schemas.rated import ACCOUNT_STATE, NOTIFICATION, POSTING, RATED
from schemas.usage import USAGE

_COLUMNS = len(REQUEST.columns)
_NO_LEGS = np.zeros((2, 0), np.int64)
_ROWS, _LINE = 16_384, 8  # rows of what ticks come to, in one piece; and words of a line of the cache
_POSTINGS = 3  # of a row, most of the time
_RATED, _POSTING = Usual(RATED, RATED_USUAL), Usual(POSTING, POSTING_USUAL)


@dataclass(frozen=True)
class Ticks:
    """Requests of ticks one behind the other. requests: of each its matrix of REQUEST columns, flat; first (n + 1,):
    its first row, and where the last ends; position, received_us (n,): journal position, and when it came."""

    requests: I64
    first: I64
    position: I64
    received_us: I64

    def __len__(self) -> int:
        return self.position.size

    def tick(self, place: int) -> Cells:
        """The requests of one."""
        begin, end = int(self.first[place]), int(self.first[place + 1])
        return Cells(REQUEST, self.requests[_COLUMNS * begin:_COLUMNS * end].reshape(_COLUMNS, end - begin))

    def column(self, name: str) -> I64:
        """A column of all of them, (rows,)."""
        found = np.empty(int(self.first[-1]), np.int64)
        for place, (begin, end) in enumerate(zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True)):
            found[begin:end] = self.tick(place)[name]
        return found


class _Scratch:
    """For the rows of one tick, of which its fold has `room` at most."""

    def __init__(self, room: int) -> None:
        self.fold, self.plan = apart(len(USAGE.columns), room), apart(PLAN_WORDS, room)
        self.choice = apart(CHOICE, CHUNK)
        self.of_rows = (*tuple(np.empty(room, np.int64) for _ in range(7)), np.zeros(3, np.int64))
        self.candidates = np.zeros((MAX_CANDIDATES, CANDIDATE_WORDS), np.int64)
        self.marks, self.walk = np.zeros((MAX_COUNTERS, MARK_WORDS), np.int64), np.zeros(WALK, np.int64)
        self.answer, self.grant = apart(len(ANSWER.columns), room), apart(len(GRANT.columns), room)
        self.moved = apart(len(POSTING.columns), 2 * room)
        self.moved.fill(ABSENT)


class _Outcome:
    """Columns for what ticks come to, until they are full. They are filled again and again."""

    def __init__(self, room: int, notified: int) -> None:
        """room: rows that one tick may come to."""
        rows = max(_ROWS, 2 * room)
        self.rated, self.posting = apart(len(RATED.columns), rows), apart(len(POSTING.columns), 0)
        self.notification = apart(len(NOTIFICATION.columns), 0)
        self.grants, self.aside = apart(len(GRANT.columns), rows), apart(OWN + 1, rows)
        self.states: list[Cells] = []
        self.progress, self.many = np.zeros(PROGRESS, np.int64), np.zeros(MANY_WORDS, np.int64)
        self._usual(rows)
        self.make_room(_POSTINGS * rows, 64 * notified)

    def _usual(self, rated: int, begin: int = 0, end: int = 0) -> None:
        """What stands where nothing is written: in so many rated rows, and in postings [begin, end)."""
        fill_columns_nb(self.rated, _RATED.places, _RATED.values, 0, rated)
        fill_columns_nb(self.posting, _POSTING.places, _POSTING.values, begin, end)

    def make_room(self, postings: int, notified: int) -> None:
        """Room for so many more of these, even in the midst of a tick."""
        used = int(self.progress[G_POSTED])
        if used + postings > self.posting.shape[1]:
            posting, self.posting = self.posting, apart(len(POSTING.columns), 2 * used + postings)
            self._usual(0, used, self.posting.shape[1])
            self.posting[:, :used] = posting[:, :used]
        used = int(self.progress[G_NOTIFIED])
        if used + notified > self.notification.shape[1]:
            before, self.notification = self.notification, apart(len(NOTIFICATION.columns), 2 * used + notified)
            self.notification[:, :used] = before[:, :used]

    def charged(self, tariffs: Tariffs) -> Charged:
        """Views of what there is."""
        aside = self.aside[:, :self.many[T_ASIDE]]
        return Charged(Cells(RATED, self.rated[:, :self.progress[G_RATED]]),
                       Cells(POSTING, self.posting[:, :self.progress[G_POSTED]]),
                       set_aside(aside[:OWN], aside[OWN], tariffs),
                       Cells(NOTIFICATION, self.notification[:, :self.progress[G_NOTIFIED]]),
                       int(self.progress[G_TURNS]), Cells.concat(ACCOUNT_STATE, self.states))

    def begin(self) -> None:
        """Room for others, in the same pages."""
        self._usual(int(self.progress[G_RATED]), 0, int(self.progress[G_POSTED]))
        self.progress[:] = 0
        self.many[[T_GRANTS, T_ASIDE, T_EVENTS]] = 0
        self.states = []


class ManyDesk(OnlineDesk):
    """A desk that also serves many ticks at once."""

    _room: tuple[_Scratch, _Outcome] | None = None

    def serve_many(self, ticks: Ticks, keep: bool = True) -> Iterator[Served]:
        """What `serve` gives for each tick, in order, several together and without answers. Same book, same rows.

        keep: the rows are wanted; else the book is changed, the laws are looked at, and nothing is given. Raises
        InvariantError.
        """
        names = self._found_names()
        if not len(ticks):
            return
        if names.legs:
            for place in range(len(ticks)):
                served = self.serve(ticks.tick(place), int(ticks.received_us[place]), int(ticks.position[place]))
                if keep:
                    yield served
            return
        yield from self._many(ticks, names, keep)

    def _many(self, ticks: Ticks, names: Names, keep: bool) -> Iterator[Served]:
        book, rules = self._book, self._rules
        times_us = ticks.column("event_time_us")
        columns = (ticks.first, ticks.position, ticks.received_us, self._versions_of(times_us),
                   self._changes.after_each(times_us))
        terms = np.array([rules.supervision_s, rules.remember_s, names.rows_per_event, SPARE_SESSIONS,
                          names.most_notified, CHUNK, not permits_active(self._tariffs), book.all_active is True, keep],
                         np.int64)
        book.online.make_room(int(ticks.first[-1]), answers=rules.remember_answers)
        scratch, out = self._with_room(_ROWS // 2, names)
        out.many[T_NEXT] = 0
        while (said := self._go_on(ticks, columns, terms, names, scratch, out)) != THROUGH:
            if said == STATES:
                out.states.append(self._states(ticks, out))
            elif out.many[T_BEGUN]:
                self._room_within(names, out)
            else:
                yield from self._taken(out, keep)
                scratch, out = self._with_room(int(out.many[T_ROOM]), names, out.many)
                self._room_before(int(out.many[T_ROOM]), names)
        yield from self._taken(out, keep)

    def _with_room(self, rows: int, names: Names, many: I64 | None = None) -> tuple[_Scratch, _Outcome]:
        """For a tick whose fold has so many rows; nothing is to be lost. many: where it is."""
        if self._room is None or self._room[0].fold.shape[1] < rows:
            self._room = _Scratch(2 * rows), _Outcome(2 * rows + _LINE, names.most_notified)
            if many is not None:
                self._room[1].many[:] = many
        return self._room

    def _go_on(self, ticks: Ticks, columns: tuple[I64, ...], terms: I64, names: Names, scratch: _Scratch,
               out: _Outcome) -> int:
        book, online, tariffs = self._book, self._book.online, self._tariffs
        places = (self._currencies(), *names.places[1:])
        said: int = serve_many_nb(
            ticks.requests, columns, terms, self._by_service, self._offline, self._refusals,
            tariffs.tables, tariffs.slots, tariffs.leaves, places, (book.nodes, names.plan_of, tariffs.rolls), _NO_LEGS,
            book.index, book.records, book.profile, book.spill, book.sessions, book.scalars, book.zones, book.holds,
            book.friends, online.index, online.sessions, online.services, online.given, online.counts, online.wheel,
            scratch.fold, scratch.plan, scratch.choice, scratch.of_rows, scratch.candidates, scratch.marks,
            scratch.walk, scratch.answer, scratch.grant, scratch.moved,
            out.rated[:OWN], out.rated[OWN:], out.posting, out.notification, out.grants, out.aside, out.progress,
            out.many)
        return said

    def _room_before(self, rows: int, names: Names) -> None:
        """Room for a tick that needs at most so many rows of the fold."""
        self._book.make_holds(rows)
        self._book.make_room(rows * names.rows_per_event)
        self._book.online.make_room(rows)

    def _room_within(self, names: Names, out: _Outcome) -> None:
        """Room where the fold stopped for it: of postings, of notifications, of sessions, or of spilled buckets."""
        book, rows = self._book, int(out.many[T_ROOM])
        out.make_room(_POSTINGS * rows + WORST_POSTINGS, names.most_notified)
        book.make_room(rows * names.rows_per_event + 2 * MAX_CANDIDATES)
        if book.scalars[B_SPILLED] + MAX_CANDIDATES > book.spill.shape[0]:
            book.grow_spill()

    def _states(self, ticks: Ticks, out: _Outcome) -> Cells:
        """Of the tick that is through, before the next."""
        rated = Cells(RATED, out.rated[:, int(out.many[T_BEFORE]):int(out.progress[G_RATED])])
        return apply_states(self._book, self._tariffs, rated, int(ticks.position[int(out.many[T_NEXT]) - 1]))

    def _taken(self, out: _Outcome, keep: bool) -> Iterator[Served]:
        """What ticks came to so far, held to the laws; then there is room again."""
        charged = out.charged(self._tariffs)
        check_postings(charged, int(out.many[T_EVENTS]))
        if keep:
            grants = _copied(Cells(GRANT, out.grants[:, :out.many[T_GRANTS]]))
            yield Served(replace(charged, rated=_copied(charged.rated), posting=_copied(charged.posting),
                                 notification=_copied(charged.notification)), Cells.empty(ANSWER), grants)
        out.begin()


def _copied(cells: Cells) -> Cells:
    return Cells(cells.columns, cells.matrix.copy())
