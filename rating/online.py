"""Charging in real time: requests in, what they are granted out. Same requests in the same order, same bytes.

The desk plans what a block of requests has to charge, hold and give back; the fold of batches does it; then each
request is answered and its answer remembered, so that the same request again gets the same answer.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from rating.book import BalanceBook, currency_label
from rating.changes import TariffChanges
from rating.charging import Charged, Names, Wishes, charge, names_of
from rating.commands.reserve import end_reservations
from rating.kernels.online import plan_online_nb, room_online_nb, silence_nb
from rating.kernels.online_answers import conclude_online_nb
from rating.kernels.online_layout import A_SESSION, N_SECOND, O_ACCOUNT, O_HI, O_LO, PLAN_WORDS, RULE_WORDS
from rating.kernels.online_table import turn_nb
from rating.laws import check_movements
from rating.states import refusal_codes
from reference_data.online import OnlineRules
from reference_data.tariffs.compile import Tariffs
from schemas.codes import Service, Unit
from schemas.columns import ABSENT, I64, Cells, Labels
from schemas.online import ANSWER, GRANT, SUCCESS, RequestKind
from schemas.rated import POSTING, RATED
from schemas.timepoint import SECOND_US
from schemas.usage import SUSPENSE, USAGE

SILENT_AT_ONCE = 20_000  # sessions that one clock closes, give or take those of a second


@dataclass(frozen=True)
class Served:
    """charged: what batches have too, and the book was changed in place. answers: ANSWER cells, one for each row of the
    requests, in order. grants: GRANT cells, one for each row that had not been answered before, or that supervision
    gave back. finals: rows of the requests whose units are the last that can be paid."""

    charged: Charged
    answers: Cells
    grants: Cells
    finals: I64 = field(default_factory=lambda: np.zeros(0, np.int64))


class OnlineDesk:
    """Serves requests on a book, whose `online` has the sessions. Knows no protocol and no disk."""

    def __init__(self, book: BalanceBook, tariffs: Tariffs, rules: OnlineRules, labels: Labels) -> None:
        self._book, self._tariffs, self._rules, self._labels = book, tariffs, rules, labels
        self._by_service = _rules(rules)
        self._offline = np.array(sorted(rules.offline_rating_groups), np.int64)
        self._changes = TariffChanges(tariffs)
        self._known: tuple[int, ...] = ()
        self._currency = _EMPTY
        self._from_us = np.array([v.active_from_us for v in tariffs.versions], np.int64)
        codes = refusal_codes(tariffs)[[tariffs.labels["tariff_version"].index(v.name) for v in tariffs.versions]]
        self._refusals = np.ascontiguousarray(np.maximum(codes, 0).reshape(len(codes), -1))

    def serve(self, requests: Cells, received_us: int, journal_position: int) -> Served:
        """Answer a block of REQUEST cells. Rows of a message follow each other; accounts are resolved, or ABSENT.

        received_us: when it came, by the journal; never earlier than before.
        """
        book, online, count = self._book, self._book.online, len(requests)
        matrix = np.ascontiguousarray(requests.matrix)
        self._begin(received_us)
        online.make_room(count, answers=self._rules.remember_answers)
        room = room_online_nb(matrix, online.index, online.sessions, online.services)
        fold, wishes = Cells.empty(USAGE, room), Wishes(np.empty(room, np.int64), np.empty(room, np.int64))
        plan = np.empty((PLAN_WORDS, count), np.int64)
        version = self._versions_of(requests["event_time_us"])
        rows = plan_online_nb(matrix, received_us, journal_position, self._rules.supervision_s, self._rules.remember_s,
                              self._by_service, self._offline, self._refusals, version, book.index, book.records,
                              online.index, online.sessions, online.services, online.counts, online.wheel, fold.matrix,
                              wishes.ask, wishes.least, plan)
        charged, granted, due, reason = self._fold(fold, wishes, rows, journal_position)
        account = requests["account_id"]
        if (account == ABSENT).any():
            account = np.where(account == ABSENT, online.sessions[plan[A_SESSION], O_ACCOUNT], account)
        answers, grants = Cells.empty(ANSWER, count), Cells.empty(GRANT, count)
        posting, final = Cells.empty(POSTING, 2 * count, fill=ABSENT), np.empty(count, np.int64)
        made = np.zeros(3, np.int64)
        changes_us = self._changes.after_each(requests["event_time_us"])
        conclude_online_nb(matrix, plan, granted, due, reason, self._by_service, received_us, journal_position,
                           changes_us, book.rows_of(account), book.records, book.profile, self._currencies(),
                           online.sessions, online.services, online.given, online.counts, answers.matrix, grants.matrix,
                           posting.matrix, final, made)
        if made[1]:
            moved = posting.slice(0, int(made[1]))
            check_movements(moved)
            charged = _with_postings(charged, moved)
        return Served(charged, answers, grants.slice(0, int(made[0])), final[:made[2]])

    def clock(self, now_us: int, journal_position: int) -> Served:
        """Close sessions that have been silent for too long, giving back what they held, and forget old ones."""
        online = self._book.online
        self._begin(now_us)
        over = self._reservations_over(now_us, journal_position)
        silent = np.empty(1024, np.int64)
        while (found := turn_nb(online.index, online.sessions, online.services, online.given, online.counts,
                                online.wheel, now_us // SECOND_US, self._rules.supervision_s, self._rules.remember_s,
                                SILENT_AT_ONCE, silent)) < 0:
            silent = np.empty(-found, np.int64)
        if not found:
            return Served(_NOTHING, _NO_ANSWERS, over)
        silent = silent[:found]
        silent = silent[np.lexsort((online.sessions[silent, O_LO], online.sessions[silent, O_HI]))]
        held = int(online.units_of(silent)) + found
        fold, wishes = Cells.empty(USAGE, held), Wishes(np.empty(held, np.int64), np.empty(held, np.int64))
        grants, made = Cells.empty(GRANT, held), np.zeros(1, np.int64)
        rows = silence_nb(silent, now_us, journal_position, self._rules.remember_s, online.sessions, online.services,
                          online.counts, online.wheel, fold.matrix, wishes.ask, wishes.least, grants.matrix, made)
        charged, _, _, _ = self._fold(fold, wishes, rows, journal_position)
        return Served(charged, _NO_ANSWERS, Cells.concat(GRANT, [over, grants.slice(0, int(made[0]))]))

    def _reservations_over(self, now_us: int, position: int) -> Cells:
        """Give back what commands reserved and nobody took: a row of GRANT for each, as of sessions."""
        ended = list(end_reservations(self._book, now_us))
        rows = Cells.empty(GRANT, len(ended), fill=ABSENT)
        if ended:
            for name, value in (("source", self._labels["source"].index("commands")), ("file_id", 0),
                                ("record_offset", position), ("record_length", 0), ("container_index", 0),
                                ("journal_position", position), ("received_us", now_us), ("number", 0),
                                ("kind", RequestKind.TERMINATION), ("unit", Unit.MONEY), ("result_code", SUCCESS),
                                ("final_action", 0), ("released", 1)):
                rows[name] = value
            for i, name in enumerate(("hi", "lo")):
                rows[f"session_{name}"] = rows[f"event_id_{name}"] = [key[i] for key, _ in ended]
            rows["account_id"] = [each.account_id for _, each in ended]
            rows["event_time_us"] = [each.until_us for _, each in ended]
        return rows

    def _versions_of(self, time_us: I64) -> I64:
        """Tariff version in force at each time."""
        if len(self._from_us) == 1:
            return np.zeros(len(time_us), np.int64)
        return np.maximum(np.searchsorted(self._from_us, time_us, "right") - 1, 0)

    def _currencies(self) -> I64:
        """Labels of the book's currencies in the tariffs."""
        names = self._book.currencies
        if self._currency.size != len(names):
            self._currency = np.array([currency_label(self._tariffs, each) for each in names], np.int64)
        return self._currency

    def _begin(self, now_us: int) -> None:
        """The wheel begins with the first that is heard, not in 1970."""
        counts = self._book.online.counts
        if not counts[N_SECOND]:
            counts[N_SECOND] = now_us // SECOND_US

    def _fold(self, fold: Cells, wishes: Wishes, rows: int, position: int) -> tuple[Charged, I64, I64, I64]:
        if not rows:
            return _NOTHING, _EMPTY, _EMPTY, _EMPTY
        block = fold.slice(0, rows)
        charged = charge(block, 0, rows, position, self._tariffs, self._book, self._labels,
                         Wishes(wishes.ask[:rows], wishes.least[:rows]), names=self._found_names())
        assert charged.answers is not None
        return charged, charged.answers.granted, charged.answers.due, charged.answers.reason

    def _found_names(self) -> Names:
        """What names of the book and the labels are in the tariff, found again when there are more of them."""
        known = (len(self._book.plans), len(self._book.currencies),
                 *(len(self._labels.get(column, ())) for column in ("apn", "other_network", "category")))
        if known != self._known:
            self._known, self._names = known, names_of(self._tariffs, self._book, self._labels)
        return self._names


_EMPTY = np.zeros(0, np.int64)
_NOTHING = Charged(Cells.empty(RATED), Cells.empty(POSTING), Cells.empty(SUSPENSE))
_NO_ANSWERS = Cells.empty(ANSWER)


def _with_postings(charged: Charged, moved: Cells) -> Charged:
    return replace(charged, posting=Cells.concat(POSTING, [charged.posting, moved]))


def _rules(rules: OnlineRules) -> I64:
    """A row of `RULE_WORDS` for each service."""
    table = np.empty((len(Service), RULE_WORDS), np.int64)
    for service in Service:
        rule = rules.of(service)
        table[service] = (rule.quota, rule.least, rule.validity_s, rule.threshold_percent,
                          ABSENT if rule.holding_s is None else rule.holding_s, rule.final_action)
    return table

