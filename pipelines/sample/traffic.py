"""Traffic by the hour or less: what starts in it is drawn, what closes in it is handed out, the rest waits.

Sources of traffic are independent: each draws from its own key, so that choosing formats does not change the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.sample.destinations import callers, message_targets, voice_targets
from pipelines.sample.kernels.draw import SHARE, draw_nb
from pipelines.sample.kernels.events import draw_calls_nb, draw_sessions_nb
from pipelines.sample.population import COUNTRY_CODE, MOBILE_BLOCKS, Period, Population
from pipelines.sample.rows import (
    C_ANSWER_S,
    C_CAUSE,
    C_DURATION_S,
    C_EXTRA,
    C_KIND,
    C_OTHER,
    C_OTHER_INTERNATIONAL,
    C_PARTIAL,
    CALL_COLUMNS,
    DATA_COLUMNS,
    E_CLOSE_S,
    E_IMSI,
    E_KEEP,
    E_MSISDN,
    MT,
    S_TECH,
    TECH_CIRCUIT_EPC,
    TECH_VOLTE_CHF,
    TECH_VOLTE_EPC,
    TECH_VOLTE_NCHF,
)
from schemas.columns import I64
from schemas.digits import pack

HOUR_S = 3600
# An hour is drawn in so many pieces that no more than this many subscribers' hours are in memory at once.
AT_ONCE, PIECES = 200_000, (1, 2, 4, 6, 12, 30, 60)
# Share of a day's events per local hour.
VOICE_DAY = np.array([6, 3, 2, 1, 1, 3, 9, 22, 44, 62, 70, 74, 78, 66, 58, 60, 68, 78, 92, 88, 66, 44, 26, 13])
DATA_DAY = np.array([30, 18, 12, 8, 8, 12, 24, 40, 48, 50, 50, 52, 58, 60, 54, 52, 54, 58, 64, 70, 80, 88, 76, 52])
NIGHT_OF_CHANGE = 80  # weight of the hours from 0 to 4 when the night of a change of clock was asked for


def _quantiles(shares: list[float], values: list[int]) -> I64:
    """Points of a distribution for `quantile_nb`; shares in percent."""
    return np.array([[round(share * SHARE / 100) for share in shares], values], np.int64)


CALL_SECONDS = _quantiles([0, 5, 10, 20, 35, 50, 65, 80, 90, 95, 99, 99.9, 100],
                          [1, 4, 9, 20, 42, 75, 130, 260, 520, 980, 2900, 6200, 7200])
SESSION_SECONDS = _quantiles([0, 10, 30, 50, 70, 85, 93, 97, 99, 100],
                             [1, 20, 120, 420, 1200, 2700, 5400, 10_800, 18_000, 28_800])
SESSION_OCTETS = _quantiles([0, 3, 10, 30, 50, 70, 85, 94, 98, 99.5, 100],
                            [0, 0, 900, 60_000, 900_000, 7_000_000, 40_000_000, 180_000_000, 700_000_000,
                             3_000_000_000, 24_000_000_000])
TIME_LIMIT = 17  # cause for record closing
COUNTRY_PACKED, HOME_PACKED = pack(COUNTRY_CODE), np.array([pack(prefix) for prefix in MOBILE_BLOCKS], np.int64)
NO_SECONDS = _quantiles([0, 100], [0, 1])
FOREIGN_PLMNS = np.array([208001, 222001, 262002, 268001, 234015, 604000, 460000, 724005], np.int64)


@dataclass(frozen=True)
class Source:
    """One kind of traffic: who has it, how often, and which elements (stems) record it."""

    name: str
    stems: tuple[str, ...]
    techs: tuple[int, ...]
    daily: float            # events per subscriber of these technologies and day
    data: bool = False
    messages: bool = False
    time_limit_s: int = 3600
    volume_limit: int = 1_000_000_000
    mt_share: float = 0.0
    forward_share: float = 0.0
    roam_share: float = 0.0

    @property
    def salt(self) -> int:
        return sum(ord(letter) << 8 * place for place, letter in enumerate(self.name[:6]))


_ALL = (TECH_CIRCUIT_EPC, TECH_VOLTE_EPC, TECH_VOLTE_CHF, TECH_VOLTE_NCHF)
SOURCES = (
    Source("circuit", ("msc",), (TECH_CIRCUIT_EPC,), 6.0, mt_share=0.42, forward_share=0.02, roam_share=0.01),
    Source("ims", ("scscf", "pcscf", "as", "mgcf"), _ALL[1:], 3.0, mt_share=0.3),
    Source("message", ("smsc",), _ALL, 3.0, messages=True, mt_share=0.45),
    Source("packet", ("pgw", "sgw"), (TECH_CIRCUIT_EPC, TECH_VOLTE_EPC), 6.0, data=True),
    Source("chf", ("chf",), (TECH_VOLTE_CHF,), 7.0, data=True),
    Source("nchf", ("nchf",), (TECH_VOLTE_NCHF,), 7.0, data=True),
    Source("voip", ("voip",), (), 9.0, mt_share=0.35, forward_share=0.03),
    Source("wifi", ("wifi",), _ALL, 0.5, data=True, time_limit_s=900, volume_limit=1 << 60),
)


class Flow:
    """One source of traffic through the period."""

    def __init__(self, source: Source, people: Population, when: Period, seed: int, scale: float,
                 dst_night: bool) -> None:
        self.source, self.when, self.scale = source, when, scale
        self.key = int(draw_nb(seed, source.salt, 77))
        who = np.flatnonzero(np.isin(people.mobile[S_TECH], source.techs))
        self.subscribers = np.ascontiguousarray(people.mobile[:, who]) if source.techs else people.voip
        self.weights = (DATA_DAY if source.data else VOICE_DAY).astype(np.float64)
        if dst_night:
            self.weights[:5] = NIGHT_OF_CHANGE
        self.targets = message_targets() if source.messages else voice_targets()
        self.callers = callers()
        self.next_id = 1
        pieces = next((p for p in PIECES if len(people) * scale <= AT_ONCE * p), PIECES[-1])
        self.step_s = HOUR_S // pieces
        self.waiting = np.empty((DATA_COLUMNS if source.data else CALL_COLUMNS, 0), np.int64)

    @property
    def steps(self) -> int:
        """How many intervals `rows` yields."""
        return -(-(self.when.end_s - self.when.start_s) // self.step_s)

    def rows(self) -> Iterator[tuple[int, int, I64]]:
        """For every interval [start, stop) of the period: the rows [E_..., n] that close in it, in that order."""
        for step in range(self.steps):
            start = self.when.start_s + step * self.step_s
            stop = min(start + self.step_s, self.when.end_s)
            drawn = self._draw(start, stop)
            rows = np.concatenate([self.waiting, drawn], axis=1) if self.waiting.shape[1] else drawn
            due = rows[E_CLOSE_S] < stop
            self.waiting = np.ascontiguousarray(rows[:, ~due])
            rows = rows[:, due]
            yield start, stop, np.ascontiguousarray(rows[:, np.argsort(rows[E_CLOSE_S], kind="stable")])

    def _draw(self, start: int, stop: int) -> I64:
        weight = self.weights[self.when.local(start).hour] / self.weights.sum()
        events = round(self.subscribers.shape[1] * self.source.daily * self.scale * weight * (stop - start) / HOUR_S)
        first, self.next_id = self.next_id, self.next_id + events
        columns = self.waiting.shape[0]
        if events == 0:
            return np.empty((columns, 0), np.int64)
        source, key = self.source, int(draw_nb(self.key, start, 1))
        if source.data:
            return self._draw_sessions(key, start, stop, events, first)
        out = np.empty((columns, events), np.int64)
        shares = [round(share * SHARE) for share in (source.mt_share, source.forward_share, source.roam_share)]
        parameters = np.array([key, start, stop - start, self.when.end_s, *shares, round(0.72 * SHARE),
                               int(source.messages), first, int(source.name == "circuit")], np.int64)
        draw_calls_nb(parameters, self.subscribers, self.targets, self.callers,
                      NO_SECONDS if source.messages else CALL_SECONDS, FOREIGN_PLMNS, out)
        out = out[:, out[E_KEEP] == 1]
        return cut_long_calls(out) if source.name == "ims" else out

    def _draw_sessions(self, key: int, start: int, stop: int, events: int, first: int) -> I64:
        source = self.source
        # The tariff switches at 8 and at 20 o'clock local time: the next one after the session's hour began.
        switch = next(at for at in range(start + HOUR_S - start % HOUR_S, start + 25 * HOUR_S, HOUR_S)
                      if self.when.local(at).hour in (8, 20))
        parameters = np.array([key, start, stop - start, self.when.end_s, source.time_limit_s, source.volume_limit,
                               first, int(source.name == "wifi"), int(source.name in ("chf", "nchf")), switch],
                              np.int64)
        room = events * 3 + 1000
        while True:
            out = np.empty((DATA_COLUMNS, room), np.int64)
            used = int(draw_sessions_nb(parameters, self.subscribers, SESSION_SECONDS, SESSION_OCTETS, FOREIGN_PLMNS,
                                        events, out))
            if used < room:
                return np.ascontiguousarray(out[:, :used])
            room *= 2


def cut_long_calls(rows: I64) -> I64:
    """Calls longer than an hour as partials of an hour each, numbered from 1; shorter ones stay (number 0)."""
    pieces = np.maximum(1, -(-rows[C_DURATION_S] // HOUR_S))
    cut = np.repeat(rows, pieces, axis=1)
    number = np.arange(cut.shape[1]) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    several = np.repeat(pieces, pieces) > 1
    last = number == np.repeat(pieces, pieces) - 1
    answer = cut[C_ANSWER_S] + number * HOUR_S
    close = np.where(last, cut[E_CLOSE_S], answer + HOUR_S)
    cut[C_PARTIAL] = np.where(several, number + 1, 0)
    cut[C_CAUSE] = np.where(several & ~last, TIME_LIMIT, cut[C_CAUSE])
    cut[C_ANSWER_S] = np.where(several, answer, cut[C_ANSWER_S])
    cut[C_DURATION_S] = np.where(several, close - answer, cut[C_DURATION_S])
    cut[E_CLOSE_S] = np.where(several, close, cut[E_CLOSE_S])
    return cut


def seen_by(stem: str, rows: I64) -> I64:
    """Rows as one kind of element sees them. Of IMS calls C_EXTRA becomes the role of the node.

    The S-CSCF serves caller and called party and writes a record for each of ours; P-CSCF and AS stand on the
    originating side; the MGCF sees what comes from or goes to other networks.
    """
    if stem not in ("scscf", "pcscf", "as", "mgcf"):
        return rows
    incoming = rows[C_KIND] == MT
    home = is_home(rows[C_OTHER])
    rows = rows.copy()
    rows[C_EXTRA] = incoming
    if stem == "mgcf":
        return rows[:, ~home]
    if stem == "scscf":
        twice = np.where(~incoming & home, 2, 1)
        seen = np.repeat(rows, twice, axis=1)
        second = np.flatnonzero(np.arange(seen.shape[1]) - np.repeat(np.cumsum(twice) - twice, twice) == 1)
        # The terminating record of a call between two of ours: the other party is served, by its number.
        caller = seen[E_MSISDN, second]
        seen[E_MSISDN, second] = in_full(seen[C_OTHER, second])
        seen[C_OTHER, second], seen[C_OTHER_INTERNATIONAL, second] = caller, 1
        seen[E_IMSI, second], seen[C_EXTRA, second] = -1, 1
        return seen
    return rows[:, ~incoming]


def in_full(packed: I64) -> I64:
    """Numbers in national form (leading 0) brought to international form; others unchanged. All of twelve digits."""
    national = packed >> 36 == 1
    return np.where(national, COUNTRY_PACKED << 36 | packed & (1 << 36) - 1, packed)


def is_home(packed: I64) -> npt.NDArray[np.bool_]:
    """Whether a number, in national or international form, begins with one of our mobile prefixes."""
    home: npt.NDArray[np.bool_] = np.isin(in_full(packed) >> 28, HOME_PACKED)
    return home
