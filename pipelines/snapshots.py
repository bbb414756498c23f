"""Snapshots: what the lanes hold, as arrays and Arrow tables, at a journal position. The newest whole one wins.

    header  32 octets  magic "TARIFASN", version u32, octets of the description u32, position u64, 0 u32,
                       crc32 u32 of header and description
    description        JSON: names (versions of reference, kernels, formats), piece (octets) and items (name, kind,
                       type, shape, offset, octets, crc32 of each piece; in version 1 one of all)
    items              each at a multiple of 64 octets

Matrices of words are read into memory of their own with room to grow, by two threads that check each piece while it
is in the cache: a restore takes as long as the file takes to come from the disk. The rest is mapped. A damaged
snapshot is passed over (the one before it and the journal give the same state), one of a newer version is refused.
"""

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.doing import Doing, nobody
from pipelines.durable import ASIDE, Disk, Payload, reached
from rating.arrays import aligned, grown
from schemas.errors import LedgerError

VERSION, READ_VERSIONS = 2, (1, 2)
PIECE = 4 << 20  # octets under one sum
_OWN = 1 << 16   # octets from which on a matrix gets memory of its own
_THREADS = 2
_MAGIC, _HEADER, _ALIGN = b"TARIFASN", struct.Struct("<8sIIQII"), 64

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # of Arrow IPC

# A NumPy array, bytes, an Arrow table or what has a schema and to_batches() as one; Arrow has no types of its own.
Item = Any


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was read. Matrices of words are writable, other arrays may be read-only views of the file."""

    position: int
    items: Mapping[str, Item]
    names: Mapping[str, str]
    passed_over: tuple[str, ...]  # newer ones that are damaged, and how


class Snapshots:
    """The snapshots of one home."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder, self._disk = folder, disk or Disk()
        self._whole: set[int] = set()  # positions of those that were seen to be whole, or written here

    def write(self, position: int, items: Mapping[str, Item], names: Mapping[str, str] | None = None
              ) -> Path:
        """Write a snapshot, whole and durable when this returns. Writing one again for its position replaces it.

        1 aside and synced; 2 renamed; 3 the folder synced.
        """
        self.write_aside(position, items, names)
        return self.publish(position)

    def write_aside(self, position: int, items: Mapping[str, Item], names: Mapping[str, str] | None = None) -> None:
        """Step 1 of `write`: what a restart does not see yet."""
        self._disk.make_dir(self._folder)
        aside = self._folder / f"{ASIDE}{position:020d}.snapshot"
        self._disk.unlink(aside)
        self._disk.write_new(aside, _octets(position, items, names or {}))
        reached("snapshot.1")

    def publish(self, position: int) -> Path:
        """Steps 2 and 3 of `write`, after `write_aside`, by this process or another."""
        path = self._folder / f"{position:020d}.snapshot"
        self._disk.rename(self._folder / f"{ASIDE}{path.name}", path)
        reached("snapshot.2")
        self._disk.sync_dir(self._folder)
        reached("snapshot.3")
        self._whole.add(position)
        return path

    def newest(self, at_most: int | None = None, make: bool = True, own: bool = True, doing: Doing = nobody
               ) -> Snapshot | None:
        """The newest whole snapshot (not beyond journal position `at_most`), None when there is none.

        make: what it holds, too; without, it is read to see that it is whole, and takes no memory. own: matrices in
        memory of their own; without, all are views of the file, which nobody can write. doing: is told of MiB.
        Raises LedgerError: its format version is unknown.
        """
        passed_over = []
        for position in reversed(self.positions()):
            if at_most is not None and position > at_most:
                continue
            path = self._folder / f"{position:020d}.snapshot"
            try:
                items, names = _read(path, position, make, own=own, doing=doing)
            except _DamagedError as error:
                passed_over.append(str(error))
                continue
            self._whole.add(position)
            return Snapshot(position, items, names, tuple(passed_over))
        return None

    def positions(self) -> list[int]:
        """Journal positions of all snapshots, ascending."""
        return [int(n.removesuffix(".snapshot")) for n in self._disk.list_dir(self._folder)
                if n.endswith(".snapshot") and n.removesuffix(".snapshot").isdecimal()]

    def retain(self, count: int = 2) -> int:
        """Keep the newest `count` whole ones, remove older ones and aside files. Returns the oldest kept, or 0.

        The journal must reach back to that position, so that a damaged newest snapshot costs time and nothing else.
        Each is read once, and later only looked at: it may be gigabytes, and others wait for the disk.
        """
        kept: list[int] = []
        for position in reversed(self.positions()):
            path = self._folder / f"{position:020d}.snapshot"
            if len(kept) < count:
                try:
                    check(path, position, position not in self._whole)
                    self._whole.add(position)
                    kept.append(position)
                except _DamagedError:
                    continue
            else:
                self._disk.unlink(path)
        for name in self._disk.list_dir(self._folder):
            if name.startswith(ASIDE):
                self._disk.unlink(self._folder / name)
        if kept:
            self._disk.sync_dir(self._folder)
        return kept[-1] if kept else 0


class _DamagedError(LedgerError):
    """A snapshot that is not whole."""


def _octets(position: int, items: Mapping[str, Item], names: Mapping[str, str]) -> Iterator[Payload]:
    """The file, piece by piece. Items are gone through twice, for the description and for the file: what is made
    slice by slice is never there whole."""
    described: list[dict[str, Any]] = []
    offset = 0
    for name, item in sorted(items.items()):
        kind, dtype, shape = _description(item)
        octets, sums = _summed(_pieces(item))
        described.append({"name": name, "kind": kind, "type": dtype, "shape": shape, "offset": offset,
                          "octets": octets, "crc32": sums})
        offset += -(-octets // _ALIGN) * _ALIGN
    text = json.dumps({"names": dict(names), "piece": PIECE, "items": described}, sort_keys=True).encode()
    text += b" " * (-(_HEADER.size + len(text)) % _ALIGN)
    head = _HEADER.pack(_MAGIC, VERSION, len(text), position, 0, 0)[:-4]
    yield head + zlib.crc32(text, zlib.crc32(head)).to_bytes(4, "little") + text
    for each, (_, item) in zip(described, sorted(items.items()), strict=True):
        for payload in _pieces(item):
            for start in range(0, payload.nbytes, PIECE):
                yield payload[start:start + PIECE]
        yield bytes(-each["octets"] % _ALIGN)


def _summed(payloads: Iterator[memoryview]) -> tuple[int, list[int]]:
    """Octets of an item, and the crc32 of each PIECE of them."""
    octets, sums = 0, list[int]()
    for payload in payloads:
        at = 0
        while at < payload.nbytes:
            if octets % PIECE == 0:
                sums.append(0)
            part = payload[at:at + PIECE - octets % PIECE]
            sums[-1] = zlib.crc32(part, sums[-1])
            at, octets = at + part.nbytes, octets + part.nbytes
    return octets, sums


def _description(item: Item) -> tuple[str, str, list[int]]:
    """(kind, type, shape) of an item."""
    if isinstance(item, bytes):
        return "bytes", "", []
    if hasattr(item, "to_batches"):
        return "arrow", "", []
    if item.dtype.hasobject:
        raise ValueError("an array of objects has no octets to keep")
    return "array", json.dumps(item.dtype.descr) if item.dtype.names else item.dtype.str, list(item.shape)


def _pieces(item: Item) -> Iterator[memoryview]:
    """Octets of an item; of a table, those of an Arrow IPC stream, message by message."""
    if isinstance(item, bytes):
        yield memoryview(item)
    elif hasattr(item, "to_batches"):
        yield memoryview(item.schema.serialize())
        for batch in item.to_batches():
            yield memoryview(batch.serialize())
        yield memoryview(_END_OF_STREAM)
    else:
        yield np.ascontiguousarray(item).reshape(-1).view(np.uint8).data


def check(path: Path, position: int, sums: bool = True) -> None:
    """Raises LedgerError unless the file is whole; sums: read it for that. Makes nothing of what it holds."""
    _read(path, position, False, sums)


def _read(path: Path, position: int, make: bool = True, sums: bool = True, own: bool = True, doing: Doing = nobody
          ) -> tuple[dict[str, Item], dict[str, str]]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        octets = os.fstat(handle).st_size
        if octets < _HEADER.size:
            raise _DamagedError(f"{path}: too short")
        content = memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
        description, base = _described(path, content, position)
        items: dict[str, Item] = {}
        work: list[Callable[[], bool]] = []
        places: list[tuple[str, int]] = []
        for each in description["items"]:
            start = base + each["offset"]
            payload = content[start:start + each["octets"]]
            target = _own(each) if make and own else None
            if payload.nbytes != each["octets"]:
                raise _DamagedError(f"{path}: damaged, {each['name']} at octet {start}")
            piece, crcs = (description["piece"], each["crc32"]) if "piece" in description else \
                (max(each["octets"], 1), [each["crc32"]])
            for n, crc in enumerate(crcs if sums else ()):
                part = slice(n * piece, (n + 1) * piece)
                work.append(_checked(payload[part], crc) if target is None else
                            _copied(handle, start + n * piece, target.data.cast("B")[part], crc))
                places.append((each["name"], start + n * piece))
            if make:
                items[each["name"]] = payload if target is None else target
        with ThreadPoolExecutor(_THREADS, "read") as threads:
            for (name, at), whole in zip(places, threads.map(_call, work), strict=True):
                doing("reading the snapshot, MiB", at >> 20, octets >> 20)
                if not whole:
                    raise _DamagedError(f"{path}: damaged, {name} at octet {at}")
    finally:
        os.close(handle)
    for each in description["items"] if make else ():
        if isinstance(items[each["name"]], memoryview):
            items[each["name"]] = _item(each, items[each["name"]])
    return items, description["names"]


def _described(path: Path, content: memoryview, position: int) -> tuple[dict[str, Any], int]:
    """What a file says of itself, and where its items begin."""
    magic, version, described, written, _, crc = _HEADER.unpack_from(content)
    base = _HEADER.size + described
    if magic == _MAGIC and version > VERSION:
        raise LedgerError(f"{path} has format version {version}", f"{VERSION}", "use a newer release")
    if magic != _MAGIC or version not in READ_VERSIONS or base > len(content) or \
            zlib.crc32(content[_HEADER.size:base], zlib.crc32(content[:28])) != crc:
        raise _DamagedError(f"{path}: damaged, its header")
    if written != position:
        raise _DamagedError(f"{path}: holds position {written}")
    description: dict[str, Any] = json.loads(bytes(content[_HEADER.size:base]))
    return description, base


def _own(each: Mapping[str, Any]) -> Any:
    """Memory on pages of its own for an array that is worth it, else None; a matrix of words has room to grow."""
    if each["kind"] != "array" or each["octets"] < _OWN or each["type"] not in ("<i8", "<i4"):
        return None
    if each["type"] == "<i8" and len(each["shape"]) == 2:
        rows, words = each["shape"]
        return grown(aligned(0, words), rows)
    words = aligned(-(-each["octets"] // 8), 1).reshape(-1)
    return words.view(each["type"])[:each["octets"] // np.dtype(each["type"]).itemsize].reshape(each["shape"])


def _call(function: Callable[[], bool]) -> bool:
    return function()


def _checked(payload: memoryview, crc: int) -> Callable[[], bool]:
    return lambda: zlib.crc32(payload) == crc


def _copied(handle: int, offset: int, target: memoryview, crc: int) -> Callable[[], bool]:
    def work() -> bool:
        done = 0
        while done < target.nbytes:
            count = os.preadv(handle, [target[done:]], offset + done)
            if not count:
                return False
            done += count
        return zlib.crc32(target) == crc

    return work


def _item(each: Mapping[str, Any], payload: memoryview) -> Item:
    if each["kind"] == "bytes":
        return bytes(payload)
    if each["kind"] == "arrow":
        return pa.ipc.open_stream(pa.py_buffer(payload)).read_all()
    described = each["type"]
    dtype = np.dtype([(f[0], f[1], *(tuple(x) for x in f[2:])) for f in json.loads(described)] if described[0] == "["
                     else described)
    array: Item = np.frombuffer(payload, dtype).reshape(each["shape"])
    return array
