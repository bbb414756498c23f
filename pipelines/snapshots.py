"""Snapshots: what the lanes hold, as arrays and Arrow tables, at a journal position. The newest whole one wins.

    header  32 octets  magic "TARIFASN", version u32, octets of the description u32, position u64, 0 u32,
                       crc32 u32 of header and description
    description        JSON: names (versions of reference, kernels, formats) and items (name, kind, type, shape,
                       offset, octets, crc32)
    items              each at a multiple of 64 octets

Arrays are mapped, not read: what a restart does not touch it does not load. A damaged snapshot is passed over (the
one before it and the journal give the same state), one of a newer version is refused.
"""

import json
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.durable import ASIDE, Disk, Payload, reached
from schemas.errors import LedgerError

VERSION = 1
_MAGIC, _HEADER, _ALIGN = b"TARIFASN", struct.Struct("<8sIIQII"), 64

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # of Arrow IPC

# A NumPy array, bytes, an Arrow table or what has a schema and to_batches() as one; Arrow has no types of its own.
Item = Any


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was read. Arrays are read-only views of the file: copy before changing."""

    position: int
    items: Mapping[str, Item]
    names: Mapping[str, str]
    passed_over: tuple[str, ...]  # newer ones that are damaged, and how


class Snapshots:
    """The snapshots of one home."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder, self._disk = folder, disk or Disk()

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
        return path

    def newest(self, at_most: int | None = None) -> Snapshot | None:
        """The newest whole snapshot (not beyond journal position `at_most`), None when there is none.

        Raises LedgerError: its format version is unknown.
        """
        passed_over = []
        for position in reversed(self.positions()):
            if at_most is not None and position > at_most:
                continue
            path = self._folder / f"{position:020d}.snapshot"
            try:
                items, names = _read(path, position)
            except _DamagedError as error:
                passed_over.append(str(error))
                continue
            return Snapshot(position, items, names, tuple(passed_over))
        return None

    def positions(self) -> list[int]:
        """Journal positions of all snapshots, ascending."""
        return [int(n.removesuffix(".snapshot")) for n in self._disk.list_dir(self._folder)
                if n.endswith(".snapshot") and n.removesuffix(".snapshot").isdecimal()]

    def retain(self, count: int = 2) -> int:
        """Keep the newest `count` whole ones, remove older ones and aside files. Returns the oldest kept, or 0.

        The journal must reach back to that position, so that a damaged newest snapshot costs time and nothing else.
        """
        kept: list[int] = []
        for position in reversed(self.positions()):
            path = self._folder / f"{position:020d}.snapshot"
            if len(kept) < count:
                try:
                    _read(path, position)
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
        octets = crc = 0
        for payload in _pieces(item):
            octets, crc = octets + payload.nbytes, zlib.crc32(payload, crc)
        described.append({"name": name, "kind": kind, "type": dtype, "shape": shape, "offset": offset,
                          "octets": octets, "crc32": crc})
        offset += -(-octets // _ALIGN) * _ALIGN
    text = json.dumps({"names": dict(names), "items": described}, sort_keys=True).encode()
    text += b" " * (-(_HEADER.size + len(text)) % _ALIGN)
    head = _HEADER.pack(_MAGIC, VERSION, len(text), position, 0, 0)[:-4]
    yield head + zlib.crc32(text, zlib.crc32(head)).to_bytes(4, "little") + text
    for each, (_, item) in zip(described, sorted(items.items()), strict=True):
        yield from _pieces(item)
        yield bytes(-each["octets"] % _ALIGN)


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


def _read(path: Path, position: int) -> tuple[dict[str, Item], dict[str, str]]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        octets = os.fstat(handle).st_size
        if octets < _HEADER.size:
            raise _DamagedError(f"{path}: too short")
        content = memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(handle)
    magic, version, described, written, _, crc = _HEADER.unpack_from(content)
    base = _HEADER.size + described
    if magic == _MAGIC and version > VERSION:
        raise LedgerError(f"{path} has format version {version}", f"{VERSION}", "use a newer release")
    if magic != _MAGIC or base > octets or zlib.crc32(content[_HEADER.size:base], zlib.crc32(content[:28])) != crc:
        raise _DamagedError(f"{path}: damaged, its header")
    if written != position:
        raise _DamagedError(f"{path}: holds position {written}")
    description = json.loads(bytes(content[_HEADER.size:base]))
    items: dict[str, Item] = {}
    for each in description["items"]:
        start = base + each["offset"]
        payload = content[start:start + each["octets"]]
        if payload.nbytes != each["octets"] or zlib.crc32(payload) != each["crc32"]:
            raise _DamagedError(f"{path}: damaged, {each['name']} at octet {start}")
        items[each["name"]] = _item(each, payload)
    return items, description["names"]


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
