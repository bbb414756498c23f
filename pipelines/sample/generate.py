"""Write a sample operator: reference data, network files, commands, and apart from them the answer key."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from pipelines.sample.answer_key import AnswerKey, Totals, WrongRow
from pipelines.sample.commands import write_commands
from pipelines.sample.defects import DAMAGE, HEADLESS, Entry, Mischief, damage_ber, plan_files
from pipelines.sample.encoders import ENCODERS, HEADS, STEMS, TAILS, Node, encode
from pipelines.sample.files import SourceWriter
from pipelines.sample.network import FORMATS, KINDS, LOCAL_SEQUENCE_MODULO, node_count, node_names
from pipelines.sample.operator import write_operator
from pipelines.sample.population import Period, Population, next_change_of_clock, period, populate
from pipelines.sample.rows import (
    C_DURATION_S,
    D_DOWN,
    D_GROUPS,
    D_OPEN_S,
    D_SWITCH_S,
    D_UP,
    E_CLOSE_S,
    E_REGION,
    E_SEQUENCE,
)
from pipelines.sample.tariffs import wrong_row_interval
from pipelines.sample.traffic import SOURCES, Flow, seen_by
from schemas.columns import I64
from schemas.errors import ChargingError

Progress = Callable[[str, int, int], None]  # what is done, steps done, steps in all


HOUR_S = 3600
WITNESSES = ("msc", "scscf", "voip")  # elements whose calls are charged, so that a wrong price shows in them


@dataclass
class GeneratedSummary:
    """What `generate` wrote. `clean`: totals per source before defects; `files`: names per source."""

    out: Path
    period: Period
    subscribers: int
    clean: dict[str, Totals] = field(default_factory=dict)
    files: int = 0
    octets: int = 0

    @property
    def records(self) -> int:
        return sum(totals.records for totals in self.clean.values())


def generate(out: Path, subscribers: int, date: date, days: int, seed: int, defects: bool = True,
             dst_night: bool = False, progress: Progress | None = None, formats: Sequence[str] | None = None,
             scale: float = 1.0, files_per_source: int | None = None) -> GeneratedSummary:
    """Write `out`/operator, `out`/inbox and `out`/answer-key. The same arguments give the same bytes.

    dst_night: take the next night in which the clock changes, and fill it with traffic.
    formats: only elements of these formats. scale: so many times the usual traffic.
    files_per_source: cut each element's records into this many files (as far as they have records) instead of by
    the clock; the records are the same, however they are cut.
    Raises ChargingError when `out` holds something already, or an argument makes no sense.
    """
    if out.exists() and any(out.iterdir()):
        raise ChargingError(f"{out} is not empty", "a new or an empty folder", "choose another, or remove it first")
    unknown = set(formats or ()) - set(FORMATS)
    if unknown:
        raise ChargingError(f"unknown formats {', '.join(sorted(unknown))}", f"some of {', '.join(FORMATS)}")
    if days < 1 or scale <= 0:
        raise ChargingError(f"{days} days, scale {scale}", "at least one day, and a scale above zero")
    when = period(next_change_of_clock(date) if dst_night else date, days)
    people = populate(subscribers, when, seed)
    write_operator(out / "operator", people, when, wrong_row=defects)
    summary = GeneratedSummary(out, when, subscribers)
    key = AnswerKey()
    wrong = WrongRow(*wrong_row_interval(when))
    step, steps = 0, len(SOURCES) * when.hours
    for source in SOURCES:
        stems = [s for s in source.stems if s in ENCODERS and (not formats or KINDS[s].format in formats)]
        if stems:
            flow = Flow(source, people, when, seed, scale, dst_night)
            nodes = node_count(subscribers)
            windows = _windows(when, subscribers, files_per_source)
            elements = [_Element(name, nodes, source.data, out / "inbox", when, seed, windows,
                                 people if defects else None)
                        for stem in stems for name in node_names(stem, nodes)]
            for start, stop, rows in flow.rows():
                for element in elements:
                    element.write(rows, start, stop)
                    if element.node.stem in WITNESSES:
                        wrong.see(element.rows)
                if progress:
                    progress(source.name, step + (stop - when.start_s) // HOUR_S, steps)
            for element in elements:
                element.finish(summary, key)
        step += when.hours
    summary.octets += write_commands(out / "inbox" / "commands", people, when, seed, _windows(when, subscribers, None))
    if defects:
        key.entries.append(wrong.entry())
    key.write(out / "answer-key")
    return summary


def _windows(when: Period, subscribers: int, files_per_source: int | None) -> I64:
    """Ends of the intervals that a file covers: by the hour, every three hours for a small operator."""
    count = files_per_source or (when.hours if subscribers >= 20_000 else (when.hours + 2) // 3)
    span = when.end_s - when.start_s
    return np.array([when.start_s + span * (k + 1) // count for k in range(count)], np.int64)


class _Element:
    """One network element while its files are written. `people`: with defects, who is there."""

    def __init__(self, name: str, nodes: int, data: bool, inbox: Path, when: Period, seed: int, windows: I64,
                 people: Population | None) -> None:
        self.node, self.nodes, self.data, self.when = Node(name), nodes, data, when
        digest = hashlib.sha256(f"{name}/{seed}".encode()).digest()
        # Counters begin anywhere, some just below where they wrap.
        self.next_sequence = int.from_bytes(digest[:4], "big") % 1000 + \
            (LOCAL_SEQUENCE_MODULO - 500 if digest[4] % 3 == 0 else 1000)
        self.mischief: Mischief | None = None
        fates: dict[int, str] = {}
        if people is not None:
            self.mischief = Mischief(name, self.node.stem, data, seed, when.start_s, when.end_s,
                                     np.ascontiguousarray(people.mobile[:, people.ported_out]))
            fates = plan_files(self.mischief.key, STEMS.index(self.node.stem) * nodes + self.node.number, len(windows))
            if self.node.stem in HEADLESS:
                fates = {number: fate for number, fate in fates.items() if fate != "header_lies"}
        self.writer = SourceWriter(inbox, name, when, windows, int.from_bytes(digest[5:8], "big") % 999_000,
                                   self.node.address, HEADS.get(self.node.stem, b""), TAILS.get(self.node.stem, ""),
                                   fates)
        self.totals = Totals()
        self.rows: I64 = np.empty((0, 0), np.int64)  # those of the last interval, before defects

    def write(self, rows: I64, start_s: int, stop_s: int) -> None:
        """Append those of an interval's rows that this element recorded."""
        mine = seen_by(self.node.stem, rows[:, rows[E_REGION] % self.nodes == self.node.number - 1])
        count = mine.shape[1]
        mine[E_SEQUENCE] = (self.next_sequence + np.arange(count)) % LOCAL_SEQUENCE_MODULO
        self.next_sequence += count
        self._count(mine)
        self.rows, filed = mine, mine[E_CLOSE_S]
        entries: list[Entry] = []
        if self.mischief is not None:
            mine, filed, entries = self.mischief.disturb(mine.copy(), start_s, stop_s)
        for octets, offsets, start, piece in encode(mine, self.when.zone, self.node):
            inside = [e for e in entries if start <= e.row < start + piece]
            for entry in inside:
                begin, end = int(offsets[entry.row - start]), int(offsets[entry.row - start + 1])
                entry.record_length = end - begin
                if entry.kind == "corrupted_record":
                    DAMAGE.get(self.node.stem, damage_ber)(octets[begin:end])
            numbers, places = self.writer.append(octets, offsets, filed[start:start + piece])
            for entry in inside:
                entry.file, entry.record_offset = int(numbers[entry.row - start]), int(places[entry.row - start])

    def _count(self, rows: I64) -> None:
        totals, count = self.totals, rows.shape[1]
        totals.records += count
        if self.data:
            # An SGW counts per bearer, and states no seconds per volume; a PGW and a CHF count per rating group.
            groups = np.ones(count, np.int64) if self.node.stem == "sgw" else rows[D_GROUPS]
            totals.containers += int((groups * (1 + (rows[D_SWITCH_S] > 0))).sum())
            if self.node.stem != "sgw":
                totals.seconds += int(((rows[E_CLOSE_S] - rows[D_OPEN_S]) * groups).sum())
            totals.octets += int(rows[D_UP].sum() + rows[D_DOWN].sum())
        else:
            totals.containers += count
            totals.seconds += int(rows[C_DURATION_S].sum())

    def finish(self, summary: GeneratedSummary, key: AnswerKey) -> None:
        """Close the last file; hand over totals and entries."""
        self.writer.finish()
        summary.clean[self.node.name] = self.totals
        summary.files += len(self.writer.written)
        summary.octets += sum(f.octets for f in self.writer.written)
        key.add(self.node.name, self.totals, self.writer.written, self.mischief.entries if self.mischief else [])
