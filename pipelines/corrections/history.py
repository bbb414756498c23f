"""What was charged, in its order, read back from ledger and archive: openings, commands and usage, group by group.

A group is what one commit of charging covered. Its usage is the file that mediation committed, its commands are the
lines of the command files, read from the archive, or, where the node gave them to itself, kept with its own commit.
Reads only, and needs neither journal nor snapshots: those are trimmed, history is not.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pipelines.archive import Archive
from pipelines.charging.node import LEGS, ONLINE, OPENING, OWN_COMMANDS
from pipelines.commands import Command, read_commands, to_journal
from pipelines.corrections.correction import KIND as CORRECT
from pipelines.corrections.kept import OPENED, Opened, opened_from_folder, read_opened
from pipelines.corrections.withdrawn import IDS, Ids
from pipelines.ledger import FileEntry, Ledger
from pipelines.ledger.log import Entry
from pipelines.set_aside_legs import LegIds
from schemas.columns import Cells
from schemas.errors import LedgerError
from schemas.usage import USAGE


@dataclass(frozen=True)
class Group:
    """Entries [first, stop) of the journal: commands, then one block.

    reference: hash of the reference data they were charged under. opened: accounts and plans that it opened.
    commands: (position, content as journaled); block: position of the block entry.
    """

    first: int
    stop: int
    version: int
    reference: str
    commands: tuple[tuple[int, dict[str, Any]], ...]
    opened: Opened | None
    usage_file: FileEntry | None

    @property
    def block(self) -> int:
        return self.stop - 1


class History:
    """The past of one ledger, up to where its log stood when this was made."""

    def __init__(self, ledger: Ledger, archive: Archive, operator: Path, token_key: tuple[int, int]) -> None:
        self._ledger, self._archive, self._operator, self._token_key = ledger, archive, operator, token_key
        logs = ledger.logs()
        self._charging = list(logs["charging"].entries) if "charging" in logs else []
        self._mediation = list(logs["mediation"].entries) if "mediation" in logs else []
        self._lines: tuple[int, list[Command]] = (0, [])
        self.labels: dict[str, list[str]] = {}

    @property
    def position(self) -> int:
        """Where the journal stood: positions below are what this history has."""
        return max((e.positions["journal"][1] for e in self._charging if "journal" in e.positions), default=0)

    @cached_property
    def recycled_legs(self) -> Ids:
        """Events of charge legs that were set aside and charged later, by a command of the node's own."""
        found = [LegIds.of_json(command["legs"]).ids for entry in self._charging if "journal" in entry.positions
                 for _, command in _kept_commands(self._ledger, entry) if command.get("kind") == LEGS]
        return np.unique(np.concatenate(found)) if found else np.empty(0, IDS)

    def groups(self) -> Iterator[Group]:
        """Every group, oldest first."""
        before = 0
        for entry in self._charging:
            if "journal" not in entry.positions:
                continue
            if entry.op == ONLINE:
                if entry.added:
                    raise LedgerError("this ledger has usage that was charged in real time, or while requests were "
                                      "answered", "usage that runs charged alone",
                                      "it cannot be charged again yet: correct by commands")
                continue
            first, stop = entry.positions["journal"]
            version = int(entry.state.get("mediation_version", 0))
            yield self._group(entry, first, stop, version, version <= before)
            before = version

    def usage(self, group: Group) -> Cells:
        """The block's events, in the order in which they were charged."""
        if group.usage_file is None:
            return Cells.empty(USAGE)
        return Cells.from_arrow(USAGE, self._ledger.read_table(group.usage_file), self.labels)

    def source_label(self, name: str) -> int:
        names = self.labels.setdefault("source", [])
        if name not in names:
            names.append(name)
        return names.index(name)

    def _group(self, entry: Entry, first: int, stop: int, version: int, own: bool) -> Group:
        reference = entry.reference.get("snapshot", "")
        if own:
            commands, opened = self._own(entry, first)
            return Group(first, stop, version, reference, commands, opened, None)
        lines: list[bytes] = []
        usage = None
        for file in self._mediation[version - 1].added:
            if file.table == "usage":
                usage = file
            elif file.table == "command":
                lines = self._command_lines(file)
        if len(lines) != stop - first - 1:
            raise LedgerError(f"{len(lines)} commands are found of journal positions {first} to {stop}",
                              f"{stop - first - 1}", "restore the archive of the command files")
        return Group(first, stop, version, reference,
                     tuple((first + i, json.loads(line)) for i, line in enumerate(lines)), None, usage)

    def _own(self, entry: Entry, first: int) -> tuple[tuple[tuple[int, dict[str, Any]], ...], Opened | None]:
        commands = _kept_commands(self._ledger, entry)
        opened = None
        for file in entry.added:
            if file.table == OPENED:
                opened = read_opened(self._ledger.read_bytes(file))
        if not commands:  # of a release that did not keep them: nothing but openings there were
            commands = [(first, {"kind": OPENING})]
        if opened is None and commands[0][1].get("kind") == OPENING:
            opened = opened_from_folder(self._operator)
        return tuple(commands), opened

    def _command_lines(self, file: FileEntry) -> list[bytes]:
        rows = self._ledger.read_table(file).select(["source", "file_id", "record_offset"])
        file_id, source = rows["file_id"][0].as_py(), rows["source"][0].as_py()
        if self._lines[0] != file_id:
            buffer = np.frombuffer(self._archive.read_all(file_id), np.uint8)
            self._lines = file_id, read_commands(buffer)
        offsets = set(rows["record_offset"].to_pylist())
        return to_journal(SimpleNamespace(source=source, file_id=file_id),  # type: ignore[arg-type]
                          [c for c in self._lines[1] if c.offset in offsets], self._token_key)


def _kept_commands(ledger: Ledger, entry: Entry) -> list[tuple[int, dict[str, Any]]]:
    """(position, content) of the commands that the node gave to itself in a commit."""
    found = []
    for file in entry.added:
        if file.table == OWN_COMMANDS:
            for line in ledger.read_bytes(file).splitlines():
                place, content = json.loads(line)
                found.append((place, json.loads(content)))
    return found


def is_correction(command: dict[str, Any]) -> bool:
    return command.get("kind") == CORRECT and "line" not in command
