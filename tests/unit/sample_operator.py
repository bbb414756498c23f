"""A small generated operator, made once for the tests that look at it."""

import hashlib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np

from mediation.formats.frame import FileFrame
from mediation.formats.registry import load_format
from pipelines.sample.generate import GeneratedSummary, generate
from pipelines.sample.network import KINDS
from schemas.columns import Cells
from schemas.decoded import DECODED

DAY = date(2026, 10, 21)
layout_of = cache(load_format)


@dataclass(frozen=True)
class Read:
    """A file as the product's decoder reads it."""

    frame: FileFrame
    cells: Cells
    records: int


def make(out: Path, defects: bool, subscribers: int = 300, **options: object) -> GeneratedSummary:
    """One day of a small operator."""
    return generate(out, subscribers, DAY, 1, 7, defects, **options)  # type: ignore[arg-type]


def tree_hash(folder: Path) -> str:
    """Names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def stem_of(source: str) -> str:
    return source.rsplit("-", 1)[0]


def read_file(path: Path) -> Read:
    """Decode one file of the inbox with the layout that its source's stream names."""
    layout = layout_of(KINDS[stem_of(path.parent.name)].format)
    buffer = np.fromfile(path, np.uint8)
    frame = layout.inspect(buffer)
    position, parts, records = frame.body_start, [], 0
    while position < frame.body_end:
        decoded = layout.decode(buffer, position, frame.body_end, 4096)
        position, records = decoded.next_offset, records + decoded.record_count
        parts.append(decoded.cells)
    return Read(frame, Cells.concat(DECODED, parts), records)


def sources(out: Path) -> list[Path]:
    return sorted(p for p in (out / "inbox").iterdir() if p.name != "commands")
