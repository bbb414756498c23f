"""Cut the files of an inbox at record boundaries, so that the same records come in more files, in the same order."""

import itertools
from pathlib import Path

import numpy as np

from mediation.formats.registry import load_format
from reference_data.streams import Streams, load_streams
from schemas.codes import Reason
from tests.integration.site import put

HEADED = {"voip-csv"}  # formats whose lines mean nothing without their header


def cut_inbox(day: Path, inbox: Path, pieces: int) -> int:
    """Write every file of `day` as up to `pieces` files that sort where it stood; returns how many were written.

    Commands stay whole. A piece of a TS 32.297 file is a bare run of its records.
    """
    streams = load_streams(day / "operator" / "streams.yaml")
    written = 0
    for path in sorted((day / "inbox").glob("*/*")):
        source = path.parent.name
        parts = [(path.name, path.read_bytes())] if source == "commands" else cut_file(path, streams, pieces)
        for name, content in parts:
            put(inbox, source, name, content)
            written += 1
    return written


def cut_file(path: Path, streams: Streams, pieces: int) -> list[tuple[str, bytes]]:
    stream = streams.match(path.parent.name)
    assert stream is not None
    layout = load_format(stream.format)
    content = path.read_bytes()
    buffer = np.frombuffer(content, np.uint8)
    frame = layout.inspect(buffer)
    decoded = layout.decode(buffer, frame.body_start, frame.body_end, 1 << 30)
    cells = decoded.cells
    heads = np.flatnonzero(cells["container_index"] == 0)
    starts, whole = cells["record_offset"][heads], cells["status"][heads] == Reason.OK
    # Where unreadable bytes end is judged by what follows: no cut beside them.
    cuts = [int(starts[k]) for k in range(1, heads.size) if whole[k] and whole[k - 1]]
    cuts = cuts[::max(1, -(-len(cuts) // (pieces - 1)))]
    ends = [frame.body_start, *cuts, frame.body_end]
    head = content[:frame.body_start] if stream.format in HEADED else b""
    stem, sequence, rest = path.name.split("_")
    return [(f"{stem}_{sequence}{number:03d}_{rest}", head + content[start:stop])
            for number, (start, stop) in enumerate(itertools.pairwise(ends))]
