"""Charge the past again, on a book of its own: same kernels, same order, other tariffs or without some events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.charging.groups import is_own
from pipelines.charging.node import CLOSE_AFTER, LEGS, OPENING, REMEMBER, SERVING
from pipelines.collect import COMMANDS
from pipelines.corrections.history import Group, History, is_correction
from pipelines.corrections.kept import accounts_among
from pipelines.corrections.layers import Layers
from pipelines.corrections.scope import named_accounts
from pipelines.corrections.withdrawn import IDS, Ids, ids_of
from pipelines.set_aside_legs import LegIds, charged_keys, without_aside
from rating.book import BalanceBook
from rating.charging import Charged, charge
from rating.commands import IDENTITY_KINDS, Origin, apply_command
from rating.friends import befriend
from reference_data.tariffs.compile import Tariffs
from schemas.columns import ABSENT, I64, Cells
from schemas.rated import RATED
from schemas.tariff_tables import MOST_LEGS
from schemas.timepoint import parse_time
from schemas.usage import SUSPENSE, USAGE

# Told of everything that the replay charges: (what, labels behind its label columns).
Sink = Callable[[Charged, dict[str, list[str]]], None]


@dataclass(frozen=True)
class Exclusions:
    """Events that are no part of the history to replay.

    until: event ids and, for each, the journal position below which it does not count: what was backed out. only_at:
    ids that charging once set aside, with the positions at which they were rated after all; sorted by id.
    """

    until: Ids = field(default_factory=lambda: np.empty(0, IDS))
    until_position: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    only_at: Ids = field(default_factory=lambda: np.empty(0, IDS))
    only_at_position: I64 = field(default_factory=lambda: np.empty(0, np.int64))

    def counts(self, usage: Cells, position: int) -> npt.NDArray[np.bool_]:
        """Which rows of a block at `position` count."""
        ids = ids_of(usage)
        counted = ~np.isin(ids, self.until[self.until_position > position])
        if self.only_at.size:
            counted &= ~np.isin(ids, self.only_at) | np.isin(ids, self.only_at[self.only_at_position == position])
        return counted


class Replay:
    """One pass over the history. accounts: ascending ids, None for all. sink: told of all that is charged."""

    def __init__(self, history: History, layers: Layers, accounts: I64 | None = None,
                 exclusions: Exclusions | None = None, sink: Sink | None = None) -> None:
        self._history, self._layers, self._accounts = history, layers, accounts
        self._exclusions, self._sink = exclusions or Exclusions(), sink
        self.book = BalanceBook.create()
        self.events = 0
        self._later: list[Cells] = []                       # events of legs that are charged later, if not with them
        self._aside: set[tuple[int, int, int]] = set()      # and which legs of them were set aside

    def step(self, group: Group, usage: Cells) -> None:
        """Charge one group; `usage` is that of the group, whole."""
        for position, command in group.commands:
            self._command(group, position, command)
        if not len(usage):
            return
        wanted = self._exclusions.counts(usage, group.block)
        if self._accounts is not None:
            wanted &= np.isin(usage["account_id"], self._accounts)
        rows = usage.where(wanted)
        self.events += len(rows)
        if self._history.recycled_legs.size:
            self._later.append(rows.where(np.isin(ids_of(rows), self._history.recycled_legs)))
        for start, stop, tariffs in self._layers.runs(group.reference, group.block, rows["account_id"],
                                                      rows["event_time_us"]):
            self._tell(charge(rows, start, stop, group.block, tariffs, self.book, self._history.labels), tariffs)

    def _command(self, group: Group, position: int, content: dict[str, Any]) -> None:
        if is_correction(content) or (content.get("kind") == SERVING and "line" not in content):
            return
        if content.get("kind") == OPENING and "line" not in content:
            tariffs = self._layers.at(group.reference, position, None)
            if group.opened is not None:
                opened = accounts_among(group.opened.accounts, group.opened.plans, self._accounts)
                postings = self.book.open_accounts(opened, tariffs, position)
                if group.opened.friends is not None:
                    befriend(self.book, group.opened.friends, opened.account_id)
                self._tell(Charged(Cells.empty(RATED), postings, Cells.empty(SUSPENSE)), tariffs)
            return
        if content.get("kind") == CLOSE_AFTER and "line" not in content:
            self.book.close_after(int(content["seconds"]))
            return
        if content.get("kind") == REMEMBER and "line" not in content:
            self.book.remember_sessions(int(content["seconds"]))
            return
        if content.get("kind") == LEGS and "line" not in content:
            self._charge_legs(group, position, LegIds.of_json(content["legs"]))
            return
        command = content if is_own(content) else content["command"]
        if command.get("kind") in IDENTITY_KINDS:  # usage was resolved when it came; no balance knows of it
            return
        account = command.get("account_id", ABSENT)
        account = account if isinstance(account, int) and not isinstance(account, bool) else ABSENT
        if account != ABSENT and not self._concerns(command):
            return
        source, *place = content.get("line", [COMMANDS])
        tariffs = self._layers.at(group.reference, position, _time_of(command), account)
        origin = Origin(self._history.source_label(source), *place)
        self._tell(apply_command(command, position, tariffs, self.book, origin), tariffs)

    def _charge_legs(self, group: Group, position: int, legs: LegIds) -> None:
        """Legs that were set aside and charged by hand: those that this replay has set aside too."""
        usage, wanted = legs.among(Cells.concat(USAGE, self._later))
        keys = list(zip(usage["event_id_hi"].tolist(), usage["event_id_lo"].tolist(), strict=True))
        wanted = np.array([bits & sum(1 << leg for leg in range(1, MOST_LEGS + 1) if (*key, leg) in self._aside)
                           for key, bits in zip(keys, wanted.tolist(), strict=True)], np.int64)
        usage, wanted = usage.where(wanted != 0), wanted[wanted != 0]
        for start, stop, tariffs in self._layers.runs(group.reference, position, usage["account_id"],
                                                      usage["event_time_us"]):
            done = charge(usage, start, stop, position, tariffs, self.book, self._history.labels,
                          legs_only=wanted)
            self._aside -= charged_keys(done)
            self._tell(without_aside(done), tariffs)

    def _concerns(self, command: dict[str, Any]) -> bool:
        if self._accounts is None:
            return True
        return bool(np.isin(named_accounts(command), self._accounts).any())

    def _tell(self, charged: Charged, tariffs: Tariffs) -> None:
        aside = charged.leg_suspense
        if len(aside) and self._history.recycled_legs.size:
            self._aside.update(zip(aside["event_id_hi"].tolist(), aside["event_id_lo"].tolist(), aside["leg"].tolist(),
                                   strict=True))
        if self._sink is not None:
            self._sink(charged, self._history.labels | tariffs.labels)


def replay(history: History, replays: Sequence[Replay], progress: Callable[[int], None] | None = None) -> None:
    """Take several replays over one history together, so that it is read once."""
    for group in history.groups():
        usage = history.usage(group)
        for each in replays:
            each.step(group, usage)
        if progress is not None:
            progress(len(usage))


def _time_of(command: dict[str, Any]) -> int | None:
    try:
        return parse_time(str(command["time"]))
    except (KeyError, ValueError, OverflowError):
        return None
