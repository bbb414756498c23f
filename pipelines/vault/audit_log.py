"""Who looked into the vault: append-only, each entry chained to the one before by SHA-256 and signed.

One JSON object a line: sequence, time_us, action, who, why, count and tokens_sha256 of the tokens asked for (of an
erasure: the tokens themselves, so that it can be shown what was erased), previous, hash, signature. Tokens are no
numbers; the log holds nothing personal about customers. Its head can be named elsewhere, so that a cut tail shows.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.durable import Disk, reached
from pipelines.keys import Keys, signature_holds
from schemas.columns import I64
from schemas.errors import LedgerError

VERSION = 1
_FIRST = "0" * 64


@dataclass(frozen=True)
class AuditEntry:
    """One look, or one erasure."""

    sequence: int
    time_us: int
    action: str
    who: str
    why: str
    count: int
    tokens_sha256: str
    tokens: tuple[int, ...]  # of erasures only


class AuditLog:
    """Opened for one process; a torn last line (never answered, since answers wait for the sync) is cut."""

    def __init__(self, path: Path, keys: Keys, disk: Disk) -> None:
        self._path, self._keys, self._disk = path, keys, disk
        disk.make_dir(path.parent)

    def entries(self) -> list[AuditEntry]:
        """All entries, chain and signatures checked. Raises LedgerError naming the line that does not hold."""
        return [_entry(line) for line in self._verified()[0]]

    def head(self) -> tuple[int, str]:
        """Sequence and hash of the last entry; (0, zeros) when there is none."""
        lines = self._verified()[0]
        return (int(lines[-1]["sequence"]), str(lines[-1]["hash"])) if lines else (0, _FIRST)

    def append(self, action: str, who: str, why: str, tokens: I64, time_us: int) -> int:
        """Record, durably, before anything is shown. Returns the entry's sequence. Neither `who` nor `why` is empty."""
        if not who.strip() or not why.strip():
            raise LedgerError("who looks into the vault, and why, must be said", remedy="give both")
        lines, end = self._verified()
        body: dict[str, Any] = {
            "version": VERSION, "sequence": len(lines) + 1, "time_us": time_us, "action": action, "who": who,
            "why": why, "count": len(tokens),
            "tokens_sha256": hashlib.sha256(np.sort(tokens).astype("<i8").tobytes()).hexdigest(),
            "previous": lines[-1]["hash"] if lines else _FIRST}
        if action == "erase":
            body["tokens"] = sorted(int(t) for t in tokens)
        digest = _digest(body)
        line = body | {"hash": digest, "signature": self._keys.sign(bytes.fromhex(digest)).hex()}
        known = self._disk.exists(self._path)
        file = self._disk.open_append(self._path)
        try:
            if file.end != end:
                file.truncate(end)
            file.append((json.dumps(line, sort_keys=True).encode() + b"\n",))
            file.sync()
        finally:
            file.close()
        if not known:
            self._disk.sync_dir(self._path.parent)
        reached("vault.audit.1")
        return int(body["sequence"])

    def _verified(self) -> tuple[list[dict[str, Any]], int]:
        """Lines that hold, and the octets they fill."""
        if not self._disk.exists(self._path):
            return [], 0
        content = self._disk.read(self._path)
        lines: list[dict[str, Any]] = []
        previous, end = _FIRST, 0
        pieces = content.split(b"\n")
        for number, piece in enumerate(pieces[:-1], 1):
            line = _parse(piece)
            if line is None or not self._holds(line, number, previous):
                if number == len(pieces) - 1 and line is None and not pieces[-1]:
                    break  # torn: a last line whose middle never reached the disk
                raise LedgerError(f"{self._path}: line {number} does not hold", "the chain and its signature",
                                  "somebody changed the log of who looked: find out who")
            lines.append(line)
            previous, end = str(line["hash"]), end + len(piece) + 1
        return lines, end

    def _holds(self, line: dict[str, Any], number: int, previous: str) -> bool:
        body = {k: v for k, v in line.items() if k not in ("hash", "signature")}
        digest = _digest(body)
        try:
            signature = bytes.fromhex(str(line.get("signature")))
        except ValueError:
            return False
        return bool(line.get("previous") == previous and line.get("sequence") == number and line.get("hash") == digest
                    and signature_holds(self._keys.public_key, signature, bytes.fromhex(digest)))


def erased_tokens(entries: Sequence[AuditEntry]) -> set[int]:
    """Tokens whose values were erased at some time."""
    return {token for e in entries if e.action == "erase" for token in e.tokens}


def _parse(piece: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(piece)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _entry(line: dict[str, Any]) -> AuditEntry:
    return AuditEntry(line["sequence"], line["time_us"], line["action"], line["who"], line["why"], line["count"],
                      line["tokens_sha256"], tuple(line.get("tokens", ())))
