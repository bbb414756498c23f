"""Write a sample operator: reference data, network files, commands, and apart from them the answer key."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from pipelines.sample.encoders import ENCODERS, HEADS, TAILS, Node, encode
from pipelines.sample.files import SourceWriter
from pipelines.sample.network import FORMATS, KINDS, LOCAL_SEQUENCE_MODULO, node_count, node_names
from pipelines.sample.operator import write_operator
from pipelines.sample.population import Period, next_change_of_clock, period, populate
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
from pipelines.sample.traffic import SOURCES, Flow, seen_by
from schemas.columns import I64
from schemas.errors import ChargingError

Progress = Callable[[str, int, int], None]  # what is done, steps done, steps in all


@dataclass
class Totals:
    """What an element wrote, before any defect."""

    records: int = 0
    containers: int = 0
    seconds: int = 0
    octets: int = 0


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
    step, steps = 0, len(SOURCES) * when.hours
    for source in SOURCES:
        stems = [s for s in source.stems if s in ENCODERS and (not formats or KINDS[s].format in formats)]
        if stems:
            flow = Flow(source, people, when, seed, scale, dst_night)
            nodes = node_count(subscribers)
            windows = _windows(when, subscribers, files_per_source)
            elements = [_Element(name, nodes, source.data, out / "inbox", when, seed, windows)
                        for stem in stems for name in node_names(stem, nodes)]
            for rows in flow.hours():
                for element in elements:
                    element.write(rows)
                step += 1
                if progress:
                    progress(source.name, step, steps)
            for element in elements:
                element.writer.finish()
                summary.clean[element.node.name] = element.totals
                summary.files += len(element.writer.written)
                summary.octets += sum(f.octets for f in element.writer.written)
        else:
            step += when.hours
    return summary


def _windows(when: Period, subscribers: int, files_per_source: int | None) -> I64:
    """Ends of the intervals that a file covers: by the hour, every three hours for a small operator."""
    count = files_per_source or (when.hours if subscribers >= 20_000 else (when.hours + 2) // 3)
    span = when.end_s - when.start_s
    return np.array([when.start_s + span * (k + 1) // count for k in range(count)], np.int64)


class _Element:
    """One network element while its files are written."""

    def __init__(self, name: str, nodes: int, data: bool, inbox: Path, when: Period, seed: int, windows: I64) -> None:
        self.node, self.nodes, self.data, self.when = Node(name), nodes, data, when
        digest = hashlib.sha256(f"{name}/{seed}".encode()).digest()
        self.number = int(name.rsplit("-", 1)[1]) - 1
        # Counters begin anywhere, some just below where they wrap.
        self.next_sequence = int.from_bytes(digest[:4], "big") % 1000 + \
            (LOCAL_SEQUENCE_MODULO - 500 if digest[4] % 3 == 0 else 1000)
        self.writer = SourceWriter(inbox, name, when, windows, int.from_bytes(digest[5:8], "big") % 999_000,
                                   self.node.address, HEADS.get(self.node.stem, b""), TAILS.get(self.node.stem, ""))
        self.totals = Totals()

    def write(self, rows: I64) -> None:
        """Append those of an hour's rows that this element recorded."""
        mine = seen_by(self.node.stem, rows[:, rows[E_REGION] % self.nodes == self.number])
        count = mine.shape[1]
        if count == 0:
            return
        mine[E_SEQUENCE] = (self.next_sequence + np.arange(count)) % LOCAL_SEQUENCE_MODULO
        self.next_sequence += count
        self._count(mine)
        for octets, offsets, start, piece in encode(mine, self.when.zone, self.node):
            self.writer.append(octets, offsets, mine[E_CLOSE_S, start:start + piece])

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
