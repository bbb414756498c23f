"""Commands that arrive as files: newline JSON in the inbox folder `commands`, ordered with the rest of the files.

One object a line:
`{"id": "t-1", "time": "2026-11-21T08:00:00Z", "kind": "top_up", "account_id": 7, "amount": "10.00"}`.
What a kind needs beyond that is the business of `rating.commands`; here only what order and audit need is read.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from pipelines.collect import CollectedFile
from schemas.audit import COMMAND
from schemas.codes import Reason
from schemas.columns import ABSENT, U8, Cells

KINDS = ("top_up", "adjust", "plan_change", "credit_limit", "state", "clock")
MAX_LINE_OCTETS = 64 << 10


@dataclass(frozen=True)
class Command:
    """One line. reason: OK, or why it was set aside."""

    offset: int
    length: int
    payload: bytes
    kind: str
    time_us: int
    account_id: int
    reason: Reason = Reason.OK


def read_commands(buffer: U8) -> list[Command]:
    """All lines of a command file, in order; blank ones belong to the line before."""
    commands, offset = [], 0
    for line in bytes(buffer).splitlines(keepends=True):
        if line.strip():
            commands.append(_read(line, offset))
        offset += len(line)
    return commands


def _read(line: bytes, offset: int) -> Command:
    payload = line.strip()
    try:
        if len(payload) > MAX_LINE_OCTETS:
            raise ValueError("too long")
        fields = json.loads(payload, parse_float=str)
        kind, account = fields["kind"], fields.get("account_id", ABSENT)
        time = datetime.fromisoformat(fields["time"]).astimezone(UTC)
        if kind not in KINDS or not isinstance(fields["id"], str) or type(account) is not int:
            raise ValueError("unknown kind, id or account")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Command(offset, len(line), payload, "unreadable", ABSENT, ABSENT, Reason.BAD_COMMAND)
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return Command(offset, len(line), payload, kind, microseconds, account)


def command_cells(file: CollectedFile, commands: list[Command]) -> tuple[Cells, list[str]]:
    """COMMAND cells of a file's commands, and the names of the `kind` label."""
    kinds = [*KINDS, "unreadable"]
    cells = Cells.empty(COMMAND, len(commands), fill=0)
    cells["file_id"] = file.file_id
    cells["record_offset"] = [c.offset for c in commands]
    cells["record_length"] = [c.length for c in commands]
    cells["kind"] = [kinds.index(c.kind) for c in commands]
    cells["reason"] = np.array([c.reason for c in commands], np.int64)
    cells["event_time_us"] = [c.time_us for c in commands]
    cells["account_id"] = [c.account_id for c in commands]
    return cells, kinds
