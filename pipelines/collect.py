"""Collect: from a directory inbox into one durable order of files, archived, never twice.

The order is by the time in the file's name, then source, then name. A file enters it in numbered steps:
1 read and hash it, 2 archive it encrypted and synced, 3 commit its place to the ledger's `collection` stream,
4 (standing inbox only) remove it from the inbox. A file that is there again after a crash has its place already.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.archive import Archive
from pipelines.durable import reached
from pipelines.ledger import Ledger, Stream
from pipelines.online_grants import OnlineGrants
from reference_data.streams import Stream as StreamDeclaration
from reference_data.streams import Streams
from schemas.audit import COLLECTED
from schemas.columns import ABSENT, U8, Cells
from schemas.errors import ReferenceDataError

COMMANDS = "commands"  # the inbox folder of top-ups, account changes and clock ticks
COMMAND_STREAM = StreamDeclaration(COMMANDS, COMMANDS, "commands",
                                   file_name=r".*?(?P<sequence>\d+)_(?P<time>\d{14})\.jsonl")
PARTIAL_SUFFIXES = (".tmp", ".part", ".filepart", ".writing")
GROUP_FILES, GROUP_OCTETS = 32, 256 << 20  # what one collection commit covers at most
MEMORY_OCTETS = 64 << 20  # larger files are mapped, not read

ONLINE = "online"  # in the state of a commit: `CollectedFile.online_position` of its files

Mark = tuple[int, int]  # octets, time of the last change in ns: another mark, another file


@dataclass(frozen=True)
class CollectedFile:
    """A file with its place in the order. `duplicate_of` names the first file of the same content.

    sha256: its first 16 bytes, which is what the order keeps. online_position: journal position up to which what was
    charged online was in the ledger when the file got its place; 0 where no stream is charged online.
    """

    file_id: int
    source: str
    name: str
    sha256: bytes
    octets: int
    time_us: int = ABSENT
    sequence: int = ABSENT
    duplicate_of: int = ABSENT
    online_position: int = 0


@dataclass(frozen=True)
class Found:
    """A file seen in the inbox, not collected yet."""

    path: Path
    source: str
    time_us: int
    sequence: int

    @property
    def order(self) -> tuple[int, str, str]:
        return (self.time_us, self.source, self.path.name)


class Collector:
    """Gives files their place in the order and hands out their bytes."""

    def __init__(self, ledger: Ledger, archive: Archive, streams: Streams, inbox: Path) -> None:
        self._stream: Stream = ledger.stream("collection")
        self._archive, self._streams, self._inbox = archive, streams, inbox
        self._by_content: dict[bytes, int] = {}
        self._known: set[tuple[str, str, bytes]] = set()
        self._fresh: dict[int, U8] = {}  # collected and not read yet: bounded by the group and the queue behind it
        self.files: dict[int, CollectedFile] = {}
        self._online = OnlineGrants(ledger) if any(s.matching is not None for s in streams.streams) else None
        self._online_position = 0
        backed_out = {number for table in ledger.batches("backed_out_file") for number in table["file_id"].to_pylist()}
        for file in _read_order(ledger):
            self._remember(file, file.file_id not in backed_out)

    @property
    def last_file_id(self) -> int:
        return max(self.files, default=0)

    def find(self) -> list[Found]:
        """Complete files of the inbox in collection order.

        Raises ReferenceDataError: a folder that no stream claims.
        """
        found = []
        for folder in sorted(p for p in self._inbox.iterdir() if p.is_dir() and not p.name.startswith(".")):
            stream = COMMAND_STREAM if folder.name == COMMANDS else self._streams.match(folder.name)
            if stream is None:
                raise ReferenceDataError(f"inbox folder {folder.name!r} belongs to no stream",
                                         "a stream in streams.yaml whose `sources` match it",
                                         "add the stream, or take the folder out of the inbox")
            for path in folder.iterdir():
                if path.name.startswith(".") or path.name.endswith(PARTIAL_SUFFIXES) or not path.is_file():
                    continue
                facts = stream.read_name(path.name)
                found.append(Found(path, folder.name, facts.time_us, facts.sequence))
        return sorted(found, key=lambda f: f.order)

    def collect(self, found: Sequence[Found], consume: bool = False) -> Iterator[CollectedFile]:
        """Archive and order `found`; yields each file once its place is durable. Known files are passed over.

        So are those that are gone again. consume: remove what is collected or known, unless it has changed since.
        """
        group: list[tuple[CollectedFile, Path, Mark]] = []
        octets = 0
        for item in found:
            if not group:  # one place for all files of a commit
                self._online_position = 0 if self._online is None else self._online.end()
            try:
                buffer, mark = _bytes_of(item.path)
            except FileNotFoundError:
                continue
            file = self._take(item, buffer)
            if file is not None:
                group.append((file, item.path, mark))
                octets += file.octets
            elif consume:
                _remove(item.path, mark)
            if len(group) >= GROUP_FILES or octets >= GROUP_OCTETS:
                yield from self._commit(group, consume)
                group, octets = [], 0
        if group:
            yield from self._commit(group, consume)

    def payload(self, file: CollectedFile) -> U8:
        """Bytes of a collected file, those that were hashed and archived: as read just now, else from the archive.

        Never from the inbox again, where somebody may have changed them since.
        """
        buffer = self._fresh.pop(file.file_id, None)
        return buffer if buffer is not None else np.frombuffer(self._archive.read_all(file.file_id), np.uint8)

    def forget(self, file_ids: Sequence[int]) -> None:
        """Content of these files, should it come again under another name, is no repetition."""
        gone = set(file_ids)
        self._by_content = {content: number for content, number in self._by_content.items() if number not in gone}

    def close(self) -> None:
        self._stream.close()

    def _take(self, item: Found, buffer: U8) -> CollectedFile | None:
        digest = hashlib.sha256(buffer.data).digest()  # 1
        sha256 = digest[:16]
        if (item.source, item.path.name, sha256) in self._known:
            return None
        reached("collect.read")
        file = CollectedFile(self.last_file_id + 1, item.source, item.path.name, sha256, len(buffer), item.time_us,
                             item.sequence, self._by_content.get(sha256, ABSENT), self._online_position)
        self._archive.write(file.file_id, file.time_us, buffer, digest)  # 2
        reached("collect.archived")
        self._remember(file)
        self._fresh[file.file_id] = buffer
        return file

    def _commit(self, group: list[tuple[CollectedFile, Path, Mark]], consume: bool) -> Iterator[CollectedFile]:
        files = [file for file, _, _ in group]
        first, last = files[0].file_id, files[-1].file_id
        staged = self._stream.stage("collected", _to_table(files))
        self._stream.commit([staged], positions={"files": (first - 1, last)},  # 3
                            state={ONLINE: self._online_position} if self._online_position else {})
        reached("collect.committed")
        for file, path, mark in group:
            if consume:
                _remove(path, mark)  # 4
            yield file

    def _remember(self, file: CollectedFile, counts: bool = True) -> None:
        """counts: whether its content, should it come again, is a repetition."""
        self.files[file.file_id] = file
        if counts:
            self._by_content.setdefault(file.sha256, file.file_id)
        self._known.add((file.source, file.name, file.sha256))


def stable(found: Sequence[Found], seen: dict[Path, Mark], age_s: float) -> list[Found]:
    """Those that have not changed since the last look and that are at least `age_s` old.

    `seen` keeps what this look saw, for the next; a standing inbox calls this once a round.
    """
    quiet, marks = [], {}
    for item in found:
        try:
            status = item.path.stat()
        except FileNotFoundError:  # taken away again
            continue
        marks[item.path] = _mark(status)
        if seen.get(item.path) == marks[item.path] and time.time() - status.st_mtime >= age_s:
            quiet.append(item)
    seen.clear()
    seen.update(marks)
    return quiet


def _mark(status: os.stat_result) -> Mark:
    return status.st_size, status.st_mtime_ns


def _bytes_of(path: Path) -> tuple[U8, Mark]:
    with path.open("rb") as file:
        mark = _mark(os.fstat(file.fileno()))
        if mark[0] > MEMORY_OCTETS:
            mapped: U8 = np.memmap(file, np.uint8, "r")
            return mapped, mark
        return np.frombuffer(file.read(), np.uint8), mark


def _remove(path: Path, mark: Mark) -> None:
    """Take a file out of the inbox that was collected with this mark. One that lies there instead is for later."""
    with contextlib.suppress(FileNotFoundError):
        if _mark(path.stat()) == mark:
            path.unlink()
    reached("collect.removed")


def _to_table(files: Sequence[CollectedFile]):  # type: ignore[no-untyped-def]
    cells = Cells.empty(COLLECTED, len(files))
    cells["source"] = np.arange(len(files))
    cells["file_name"] = np.arange(len(files))
    cells["file_id"] = [f.file_id for f in files]
    halves = np.array([np.frombuffer(f.sha256, ">i8") for f in files], np.int64)
    cells["sha256_hi"], cells["sha256_lo"] = halves[:, 0], halves[:, 1]
    cells["file_octets"] = [f.octets for f in files]
    cells["file_time_us"] = [f.time_us for f in files]
    cells["file_sequence"] = [f.sequence for f in files]
    cells["duplicate_of"] = [f.duplicate_of for f in files]
    return cells.to_arrow({"source": [f.source for f in files], "file_name": [f.name for f in files]})


def _read_order(ledger: Ledger) -> Iterator[CollectedFile]:
    labels: dict[str, list[str]] = {}
    parts = [Cells.from_arrow(COLLECTED, table, labels) for table in ledger.batches("collected")]
    cells = Cells.concat(COLLECTED, parts)
    halves = np.stack([cells["sha256_hi"], cells["sha256_lo"]], axis=1).astype(">i8")
    log = ledger.logs().get("collection")
    ends = [(entry.positions["files"][1], int(entry.state.get(ONLINE, 0)))
            for entry in (log.entries if log is not None else []) if "files" in entry.positions]
    position = [ends[place][1] for place in np.searchsorted([end for end, _ in ends], cells["file_id"])]
    for i in np.argsort(cells["file_id"], kind="stable"):
        yield CollectedFile(
            int(cells["file_id"][i]), labels["source"][cells["source"][i]], labels["file_name"][cells["file_name"][i]],
            halves[i].tobytes(), int(cells["file_octets"][i]), int(cells["file_time_us"][i]),
            int(cells["file_sequence"][i]), int(cells["duplicate_of"][i]), position[i])
