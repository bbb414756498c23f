"""Copy a ledger as of one cut to another place, and prove the copy. Restore is the same the other way.

Files go first, then log entries, then cuts: a copy that was interrupted names nothing that is not there, and the next
backup into the same place goes on. The copy is a ledger like any other, one that ends at its cut.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipelines.ledger.catalogue import SCHEMA_FOLDER, SCRIPT
from pipelines.ledger.cut import Cut, cut_path
from pipelines.ledger.head import head_path, read_head
from pipelines.ledger.ledger import Ledger
from pipelines.ledger.log import digest, entry_path
from pipelines.ledger.store import Store
from pipelines.ledger.verify import verify
from schemas.errors import LedgerError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Copied:
    """cut: what the copy ends at; files, octets: how much was copied now; kept: files that were there already."""

    cut: Cut
    files: int
    octets: int
    kept: int


def backup(ledger: Ledger, target: Store, keys: Iterable[Ed25519PublicKey] = (), cut: Cut | None = None,
           progress: Progress | None = None) -> Copied:
    """Copy `ledger` as of `cut` (a new one is published without) into `target`, which may hold an earlier backup.

    Raises LedgerError when the target holds another ledger or the copy does not verify.
    """
    cut = cut or ledger.cut("backup")
    source = ledger.store
    target_ledger = Ledger.open(target)
    _check_same_history(ledger, target_ledger, cut)
    there = {each.path: each.octets for each in target.list_all("")}
    files = [file for name, log in ledger.logs().items() for entry in log.entries[:cut.version(name)]
             for file in entry.added]
    live = {each.path for each in ledger.files(as_of=cut)}
    octets = copied = kept = 0
    for done, file in enumerate(files, 1):
        if there.get(file.path) == file.octets:
            kept += 1
        else:
            try:
                payload = source.read(file.path)
            except FileNotFoundError:
                if file.path in live:
                    raise LedgerError(f"{file.path} is live but missing", "", "run `tarifa ledger verify`") from None
                continue  # replaced and vacuumed
            if digest(payload) != file.sha256:
                raise LedgerError(f"{file.path} is not what was committed", f"sha256 {file.sha256}",
                                  "run `tarifa ledger verify`; nothing that names it was copied")
            if file.path in there:
                target.delete(file.path)  # torn by an interrupted copy
            target.write(file.path, (payload,))
            copied, octets = copied + 1, octets + file.octets
        if progress:
            progress(done, len(files))
    target.settle()
    _copy_log(ledger, target, target_ledger, cut)
    _prove(Ledger.open(target), keys, cut)
    return Copied(cut, copied, octets, kept)


def restore(saved: Ledger, target: Store, keys: Iterable[Ed25519PublicKey] = (),
            progress: Progress | None = None) -> Copied:
    """Copy a backup into an empty place, as of its newest cut. Raises LedgerError when the place is not empty."""
    cuts = saved.cuts()
    if not cuts:
        raise LedgerError(f"{saved.store.location} holds no cut", "a backup made by `tarifa ledger backup`")
    if target.list_all("_log") or target.list_all("_cuts"):
        raise LedgerError(f"{target.location} holds a ledger", "an empty place",
                          "move it away first; restore never overwrites")
    return backup(saved, target, keys, cuts[-1], progress)


def _check_same_history(ledger: Ledger, target: Ledger, cut: Cut) -> None:
    logs = ledger.logs()
    for name, log in target.logs().items():
        mine = logs[name].digests[:cut.version(name)] if name in logs else []
        if log.digests != mine[:log.version]:
            raise LedgerError(f"{target.store.location} holds another history of stream {name}", "an earlier backup",
                              "choose another place")


def _copy_log(ledger: Ledger, target: Store, target_ledger: Ledger, cut: Cut) -> None:
    source = ledger.store
    for each in source.list_all(SCHEMA_FOLDER):
        target.replace(each.path, source.read(each.path))
    target.replace(SCRIPT, source.read(SCRIPT))
    saved = target_ledger.logs()
    for name in ledger.logs():
        first = saved[name].version + 1 if name in saved else 1
        for version in range(first, cut.version(name) + 1):
            path = entry_path(name, version)
            target.put_new(path, source.read(path), "ledger.backup")
        head = read_head(source, name)
        if head and head[0].version <= cut.version(name):
            target.replace(head_path(name), head[1])
    for number in range(1, cut.number + 1):
        target.put_new(cut_path(number), source.read(cut_path(number)), "ledger.backup")


def _prove(copy: Ledger, keys: Iterable[Ed25519PublicKey], cut: Cut) -> None:
    report = verify(copy, keys)
    if not report.sound:
        first = report.findings[0]
        raise LedgerError(f"the copy at {copy.store.location} does not verify: {first.where} {first.message}",
                          "", f"{len(report.findings)} findings; run `tarifa ledger verify` on both")
    wrong = [name for name, each in cut.streams.items() if copy.logs()[name].head != each.sha256]
    if wrong:
        raise LedgerError(f"the copy of stream {wrong[0]} does not end at the cut")
