"""Commands that arrive as files: newline JSON in the inbox folder `commands`, ordered with the rest of the files.

One object a line:
`{"id": "t-1", "time": "2026-11-21T08:00:00Z", "kind": "top_up", "account_id": 7, "amount": "10.00"}`.
What a kind needs beyond that is the business of `rating.commands`; here only what order and audit need is read.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mediation.tokens import Sightings
from pipelines.collect import COMMANDS, CollectedFile
from pipelines.durable import Disk, reached
from rating.commands import IDENTITY_KINDS, KINDS
from rating.commands.context import read_time
from reference_data.inventory import tokens_of
from schemas.audit import COMMAND
from schemas.codes import Identity, Reason
from schemas.columns import ABSENT, U8, Cells
from schemas.digits import pack
from schemas.timepoint import EARLIEST_US, END_US, SECOND_US, format_time, parse_time

MAX_LINE_OCTETS = 64 << 10
_NUMBER = re.compile(r"\+?[1-9][0-9]{2,14}")
_IMSI = re.compile(r"[0-9]{6,15}")
# Fields of a command that are personal numbers: what the journal gets in their place, and what they are.
_FRIENDS = ("friend_add", "friend_remove")
_DATED = (*IDENTITY_KINDS, "account_create", "plan_change")  # kinds that usage is looked up by its own time for
_NUMBERS = {"msisdn": ("msisdn_token", Identity.MSISDN), "new_msisdn": ("new_msisdn_token", Identity.MSISDN),
            "imsi": ("imsi_token", Identity.IMSI), "new_imsi": ("new_imsi_token", Identity.IMSI)}
NUMBER_FIELDS = ("number", *_NUMBERS)
Seen = Sequence[tuple[int, Identity, int]]  # token, what it is, packed digits: for the vault


@dataclass(frozen=True)
class Command:
    """One line. reason: OK, or why it was set aside.

    payload: what the journal gets, a command that does nothing where the line cannot be read.
    """

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


def deliver_commands(inbox: Path, stem: str, at_us: int, parts: Iterable[bytes], disk: Disk) -> set[Path]:
    """Put lines of commands into the inbox, a file for each part: 1 all aside, 2 all renamed; none is half there.

    stem: begins their names; at_us: their time in the order of files.
    """
    folder = inbox / COMMANDS
    disk.make_dir(folder)
    stamp = datetime.fromtimestamp(at_us // SECOND_US, UTC).strftime("%Y%m%d%H%M%S")
    waiting = []
    for number, part in enumerate(parts, 1):
        path = folder / f"{stem}_{number:06d}_{stamp}.jsonl"
        hidden = path.with_name(f".{path.name}")
        hidden.unlink(missing_ok=True)  # of one that was killed here
        disk.write_new(hidden, [part])
        waiting.append((hidden, path))
    reached("commands.written")
    for hidden, path in waiting:
        disk.rename(hidden, path)
    disk.sync_dir(folder)
    reached("commands.delivered")
    return {path for _, path in waiting}


def to_journal(file: CollectedFile, commands: Iterable[Command], token_key: tuple[int, int]) -> list[bytes]:
    """What the journal gets of some lines of a file: the place of the line, and its payload.

    The journal is replayed for ever: nothing may enter it that a later reader, or the charging node's own
    commands, could take for something else. Nor may a number: it gets the token.
    """
    return [b'{"line":%s,"command":%s}' % (json.dumps([file.source, file.file_id, c.offset, c.length]).encode(),
                                           _private(c, token_key)) for c in commands]


def sightings_of(commands: Iterable[Command], token_key: tuple[int, int]) -> Seen:
    """Numbers that commands bring, for the vault. The numbers of friends are none: nobody has to find them again."""
    return [seen for c in commands if c.kind in IDENTITY_KINDS
            for seen in tokenised(json.loads(c.payload, parse_float=str), token_key)[1]]


def sightings_among(numbers: Seen) -> Sightings | None:
    """Numbers as the vault is told of them; None for none."""
    if not numbers:
        return None
    token, identity, value = (np.array(column, np.int64) for column in zip(*numbers, strict=True))
    return Sightings(token, identity, value, {})


def tokenised(fields: Mapping[str, Any], token_key: tuple[int, int]) -> tuple[dict[str, Any], Seen]:
    """A command as the journal gets it, tokens in place of numbers, and the numbers, which the vault must have first.

    A number that is none leaves no token: the command is refused for want of one.
    """
    private, seen = dict(fields), list[tuple[int, Identity, int]]()
    if private.get("kind") in _FRIENDS and "number" in private:
        private.pop("token", None)
        _replace(private, "number", "token", Identity.MSISDN, token_key)
    if private.get("kind") in IDENTITY_KINDS:
        for name, (target, identity) in _NUMBERS.items():
            if name in private:
                private.pop(target, None)
                value = _replace(private, name, target, identity, token_key)
                if value is not None:
                    seen.append((private[target], identity, value))
    return private, seen


def from_whole_second(command: Mapping[str, Any]) -> dict[str, Any]:
    """A live change holds from the beginning of a second on: networks stamp usage with whole seconds, and what is asked
    right after the change, in the same second, is to be answered by it. Files say it themselves.
    """
    given = read_time(command, "from") if "from" in command else read_time(command)
    if command.get("kind") not in _DATED or given is None:
        return dict(command)
    return {**command, "from": format_time(given // SECOND_US * SECOND_US)}


def _replace(fields: dict[str, Any], name: str, target: str, identity: Identity, token_key: tuple[int, int]
             ) -> int | None:
    """Put the token of a number in its place. Returns the packed digits, None where it is no number."""
    number = fields.pop(name)
    if not isinstance(number, str) or not (_IMSI if identity == Identity.IMSI else _NUMBER).fullmatch(number):
        fields[target] = None  # refused for want of one
        return None
    digits = number.removeprefix("+")
    fields[target] = int(tokens_of(pa.array([digits]), identity, token_key)[0])
    return pack(digits)


def _private(command: Command, token_key: tuple[int, int]) -> bytes:
    """The payload, with tokens in place of numbers."""
    if command.kind not in (*_FRIENDS, *IDENTITY_KINDS):
        return command.payload
    fields = json.loads(command.payload, parse_float=str)
    private, _ = tokenised(fields, token_key)
    return command.payload if private == fields else json.dumps(private).encode()


def _read(line: bytes, offset: int) -> Command:
    payload = line.strip()
    try:
        if len(payload) > MAX_LINE_OCTETS:
            raise ValueError("too long")
        fields = json.loads(payload, parse_float=str)
        kind, account = fields["kind"], fields.get("account_id", ABSENT)
        time_us = parse_time(fields["time"])
        if kind not in KINDS or type(account) is not int or not fields["id"].encode():
            raise ValueError("unknown kind, account or id")
        if not EARLIEST_US <= time_us < END_US or not ABSENT <= account < 1 << 62:
            raise ValueError("beyond the time zones' tables, or beyond any account")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        refused = json.dumps({"id": f"refused-{hashlib.sha256(payload).hexdigest()[:32]}"}).encode()
        return Command(offset, len(line), refused, "unreadable", ABSENT, ABSENT, Reason.BAD_COMMAND)
    return Command(offset, len(line), payload, kind, time_us, account)


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
