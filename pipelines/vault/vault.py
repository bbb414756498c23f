"""Token to value, for those who may ask: remembered before commit 1, looked up only with a name and a reason.

Remembering is idempotent: a sighting of what is known already costs one cache probe. New ones are appended to an
encrypted log, one frame and one sync a batch; a full log becomes a sorted run, small runs become large ones. What
the manifest does not name does not exist. The vault may hold values of records that never came to be committed;
it never lacks one that was.

    vault/manifest.json   which log and runs there are
    vault/log-N.vault     the log; vault/run-N.vault  runs
    vault/audit.log       who looked, and who erased
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipelines.durable import AppendFile, Disk, reached, replace_file
from pipelines.keys import Keys
from pipelines.lock import take_lock
from pipelines.vault.audit_log import AuditLog, erased_tokens
from pipelines.vault.entries import U64, Entries
from pipelines.vault.files import Run, read_log, seal_frame, write_run
from pipelines.vault.kernels import comparison_nb, unseen_nb
from schemas.columns import I64
from schemas.errors import LedgerError

VERSION = 1
SMALL_RUNS = 8  # so many small runs are merged into one
_CACHE_SLOTS = 1 << 17  # mediation keeps a table of its own; this one spares it a probe of the runs


@dataclass(frozen=True)
class Remembered:
    """added: tokens that are new. collisions (k,) rows of the sightings whose token stands for another value."""

    added: int
    collisions: npt.NDArray[np.intp]


class Vault:
    """One writer at a time, or any number of readers (`write=False`), who change nothing but the audit log."""

    def __init__(self, folder: Path, keys: Keys, disk: Disk | None = None, write: bool = True,
                 seal_rows: int = 1 << 18) -> None:
        self._folder, self._keys, self._disk = folder, keys, disk or Disk()
        self._write, self._seal_rows = write, seal_rows
        self._lock = -1
        self._file: AppendFile | None = None
        self._disk.make_dir(folder)
        self.audit = AuditLog(folder / "audit.log", keys, self._disk)
        secret = hashlib.sha256(b"tarifa vault comparison 1" + keys.vault_key).digest()
        self._comparison_key = tuple(np.frombuffer(secret, "<u8", 2))
        if write:
            self._lock = take_lock(folder, "vault", 0o600)
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def remember(self, token: I64, identity: npt.ArrayLike, value: I64,
                 texts: Sequence[str | bytes | None] | None = None) -> Remembered:
        """Keep which value stands behind which token; durable when this returns.

        token (n,) int64 (negative rows, ABSENT, are passed over); identity `codes.Identity`, one for all or per row;
        value (n,) int64; texts: what was hashed into `value`, for values that are text (and IPv6 addresses).
        Call in collection order: of two values for one token the first stays.
        """
        given = Entries.of(token, identity, value, texts)
        rows = np.empty(len(given), np.int64)
        found = unseen_nb(given.token, given.identity, given.value, given.text_end, self._cache_token,
                          self._cache_identity, self._cache_value, rows)
        unseen = rows[:found]
        unseen = unseen[given.token[unseen] >= 0]
        if not len(unseen):
            return Remembered(0, unseen)
        asked = given.take(unseen)
        comparison = self._compare(asked)
        unique, first, inverse = _ranked(asked.token)
        known, held = self._held(unique)
        stands = np.where(known, held, comparison[first])
        collisions = unseen[comparison != stands[inverse]]
        new = np.sort(first[~known])  # in the order of sighting
        if len(new):
            self._append(asked.take(new), comparison[new])
        agreed = first[comparison[first] == stands]
        self._cache(asked.take(agreed))
        return Remembered(len(new), collisions)

    def lookup(self, token: I64, who: str, why: str, time_us: int) -> Entries:
        """What stands behind these tokens, ascending, once each; unknown ones are left out. Audited first."""
        wanted = np.unique(np.asarray(token, np.int64))
        wanted = wanted[wanted >= 0]
        self.audit.append("reveal", who, why, wanted, time_us)
        parts = [run.entries(rows[rows >= 0]) for run in self._runs if ((rows := run.find(wanted)) >= 0).any()]
        parts.append(self._active.take(np.flatnonzero(np.isin(self._active.token, wanted))))
        found = Entries.concat(parts)
        return found.take(np.argsort(found.token))

    def erase(self, token: I64, who: str, why: str, time_us: int) -> int:
        """Forget what stands behind these tokens. Returns how many were known.

        1 the audit entry; 2 files that hold them are written again without them, under new keys; 3 the manifest names
        the new ones; 4 the old files and their keys are destroyed. Killed before 3, erase again. A value that is
        sighted again later is remembered again: a number may have a new holder.
        """
        self._must_write()
        wanted = np.unique(np.asarray(token, np.int64))
        self.audit.append("erase", who, why, wanted, time_us)
        self._seal()
        note = {"who": who, "why": why, "time_us": time_us}
        erased, kept, old = 0, [], []
        for run in self._runs:
            rows = run.find(wanted)
            rows = rows[rows >= 0]
            if not len(rows):
                kept.append(run)
                continue
            erased += len(rows)
            old.append(run.path.stem)
            stay = np.delete(np.arange(len(run.token)), rows)
            if len(stay):
                kept.append(self._new_run(run.all().take(stay), run.comparison[stay]))
        reached("vault.erase.1")
        if old:
            self._commit(self._log_name, kept)
            reached("vault.erase.2")
            self._discard(old, note)
        self._forget_cache()
        return erased

    def erased(self) -> set[int]:
        """Tokens whose values were erased at some time."""
        return erased_tokens(self.audit.entries())

    def __len__(self) -> int:
        """Tokens held."""
        return len(self._active) + sum(len(run.token) for run in self._runs)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "Vault":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    # what there is

    def _load(self) -> None:
        self._forget_cache()
        manifest = self._read_manifest()
        self._next: int = manifest["next"]
        self._runs = [Run.open(self._path(name), self._cipher(name)) for name in manifest["runs"]]
        self._log_name: str = manifest["log"]
        self._empty_log()
        end = 0
        if self._log_name and self._disk.exists(self._path(self._log_name)):
            path = self._path(self._log_name)
            entries, end = read_log(path, self._disk.read(path), self._cipher(self._log_name))
            self._hold(entries, self._compare(entries))
        if self._write:
            self._discard(self._strays(manifest), None)
            if self._log_name:
                self._open_log(end)

    def _read_manifest(self) -> dict[str, Any]:
        path = self._folder / "manifest.json"
        if not self._disk.exists(path):
            return {"next": 1, "log": "", "runs": []}
        try:
            written: dict[str, Any] = json.loads(self._disk.read(path))
            body = {k: v for k, v in written.items() if k != "sha256"}
            whole = written.get("sha256") == _digest(body)
        except (ValueError, AttributeError):  # no JSON, or no object
            whole = False
        if not whole:
            raise LedgerError(f"{path} is damaged", remedy="restore the vault")
        if body["version"] != VERSION:
            raise LedgerError(f"{path} has format version {body['version']}", f"{VERSION}", "use a newer release")
        return body

    def _strays(self, manifest: Mapping[str, Any]) -> list[str]:
        """Files and keys of steps that a kill cut short."""
        named = {*manifest["runs"], manifest["log"]}
        files = {n[:-6] for n in self._disk.list_dir(self._folder) if n.endswith(".vault")}
        keys = {n[6:] for n in self._keys.sealed_names() if n.startswith("vault-")}
        return sorted((files | keys) - named)

    def _held(self, token: I64) -> tuple[npt.NDArray[np.bool_], U64]:
        """For ascending tokens: whether each is known, and its comparison hash."""
        known, comparison = np.zeros(len(token), bool), np.zeros(len(token), np.uint64)
        sources = [(r.token, r.comparison) for r in self._runs]
        for tokens, comparisons in [*sources, (self._active_token, self._active_comparison)]:
            if len(tokens):
                row = np.minimum(np.searchsorted(tokens, token), len(tokens) - 1)
                here = tokens[row] == token
                known |= here
                comparison[here] = comparisons[row[here]]
        return known, comparison

    def _compare(self, entries: Entries) -> U64:
        comparison = np.empty(len(entries), np.uint64)
        comparison_nb(*self._comparison_key, entries.identity, entries.value, entries.text_end,
                      np.frombuffer(entries.text, np.uint8), comparison)
        return comparison

    def _forget_cache(self) -> None:
        self._cache_token = np.full(_CACHE_SLOTS, -1, np.int64)
        self._cache_value = np.zeros(_CACHE_SLOTS, np.int64)
        self._cache_identity = np.zeros(_CACHE_SLOTS, np.uint8)

    def _cache(self, entries: Entries) -> None:
        # A text is more than the hash that is its value here: it is compared each time.
        entries = entries.take(np.flatnonzero(np.diff(entries.text_end, prepend=0) == 0))
        slots, rows = np.unique(entries.token & (_CACHE_SLOTS - 1), return_index=True)
        self._cache_token[slots] = entries.token[rows]
        self._cache_value[slots] = entries.value[rows]
        self._cache_identity[slots] = entries.identity[rows]

    # what is added

    def _append(self, entries: Entries, comparison: U64) -> None:
        self._must_write()
        if not self._log_name:
            self._commit(self._new_name("log"), self._runs)
        if self._file is None:
            self._open_log(0)
        file = self._file
        assert file is not None
        try:
            file.append((seal_frame(self._cipher(self._log_name), entries),))
            reached("vault.remember.1")
            file.sync()
        except BaseException:
            self.close()  # whether the frame is there, only opening again can tell
            raise
        reached("vault.remember.2")
        self._hold(entries, comparison)
        if len(self._active) >= self._seal_rows:
            self._seal()

    def _empty_log(self) -> None:
        self._active = Entries.concat([])
        self._active_token, self._active_comparison = np.empty(0, np.int64), np.empty(0, np.uint64)

    def _hold(self, entries: Entries, comparison: U64) -> None:
        self._active = Entries.concat([self._active, entries])
        order = np.argsort(entries.token)  # no two are the same, nor held already
        places = np.searchsorted(self._active_token, entries.token[order])
        self._active_token = np.insert(self._active_token, places, entries.token[order])
        self._active_comparison = np.insert(self._active_comparison, places, comparison[order])

    def _seal(self) -> None:
        """The log becomes a run, together with the small runs when there are many.

        1 the run; 2 the manifest names it and no log; 3 what it replaces goes, with its keys.
        """
        if not len(self._active):
            return
        small = [r for r in self._runs if len(r.token) < self._seal_rows * SMALL_RUNS]
        if len(small) < SMALL_RUNS - 1:
            small = []
        entries = Entries.concat([*(r.all() for r in small), self._active])
        comparison = np.concatenate([*(r.comparison for r in small), self._compare(self._active)])
        old = [self._log_name, *(r.path.stem for r in small)]
        runs = [*(r for r in self._runs if r.path.stem not in old), self._new_run(entries, comparison)]
        reached("vault.seal.1")
        if self._file is not None:
            self._file.close()
            self._file = None
        self._commit("", runs)
        reached("vault.seal.2")
        self._empty_log()
        self._discard(old, None)
        reached("vault.seal.3")

    def _new_run(self, entries: Entries, comparison: U64) -> Run:
        name = self._new_name("run")
        cipher = self._cipher(name, create=True)
        write_run(self._disk, self._path(name), cipher, entries, comparison)
        self._disk.sync_dir(self._folder)
        return Run.open(self._path(name), cipher)

    def _open_log(self, end: int) -> None:
        path = self._path(self._log_name)
        self._cipher(self._log_name, create=True)
        self._file = self._disk.open_append(path)
        if self._file.end != end:
            self._file.truncate(end)
            self._file.sync()
        self._disk.sync_dir(self._folder)

    def _commit(self, log: str, runs: list[Run]) -> None:
        body = {"version": VERSION, "next": self._next, "log": log, "runs": [r.path.stem for r in runs]}
        content = json.dumps(body | {"sha256": _digest(body)}).encode() + b"\n"
        replace_file(self._disk, self._folder / "manifest.json", content)
        self._log_name, self._runs = log, runs

    def _discard(self, names: Sequence[str], note: Mapping[str, object] | None) -> None:
        for name in names:
            self._disk.unlink(self._path(name))
            if note is None:
                self._keys.discard(f"vault-{name}")
            else:
                self._keys.destroy(f"vault-{name}", note)
        if names:
            self._disk.sync_dir(self._folder)

    def _new_name(self, kind: str) -> str:
        self._next += 1
        return f"{kind}-{self._next - 1:09d}"

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.vault"

    def _cipher(self, name: str, create: bool = False) -> AESGCM:
        return AESGCM(self._keys.sealed(f"vault-{name}", self._keys.vault_key, create))

    def _must_write(self) -> None:
        if not self._write or self._lock < 0:
            raise LedgerError("this vault is open for reading, closed, or a write to it failed", remedy="open it again")


def _ranked(token: I64) -> tuple[I64, I64, I64]:
    """As `np.unique` gives them: the tokens ascending, once each, their first rows, and for every row its place.

    Several times as fast: the order of equal ones need not be kept to know the first.
    """
    order = np.argsort(token)
    ranked = token[order]
    heads = np.concatenate([[True], ranked[1:] != ranked[:-1]])
    inverse = np.empty(token.size, np.int64)
    inverse[order] = np.cumsum(heads) - 1
    starts = np.flatnonzero(heads)
    return ranked[starts], np.minimum.reduceat(order, starts), inverse


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
