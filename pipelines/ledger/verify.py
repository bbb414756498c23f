"""Prove a ledger, or name what is wrong with it: chain, signatures, tails, files, rows, sums, positions.

Reads everything again and trusts nothing but the keys it is given. One finding never hides another: after a broken
entry the walk goes on with what can be read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pipelines.ledger.cut import CUT_FOLDER, Cut, cut_path
from pipelines.ledger.head import HEAD_FOLDER, Head
from pipelines.ledger.ledger import Ledger
from pipelines.ledger.log import (
    UNREADABLE,
    Entry,
    FileEntry,
    check_positions,
    check_signature,
    decode_entry,
    digest,
    entry_names,
    entry_path,
    stream_names,
    trusted_keys,
)
from pipelines.ledger.parquet import column_sums, decode_table, time_range
from pipelines.ledger.store import Store, is_aside
from pipelines.ledger.stream import TABLE
from schemas.errors import LedgerError

Keys = Mapping[str, Ed25519PublicKey]


@dataclass(frozen=True)
class Finding:
    """Something that is not as it must be.

    kind: entry, chain, signature, tail, positions, file, cut; where: path; message: what was found.
    """

    kind: str
    where: str
    message: str


@dataclass
class Report:
    """What was looked at, and what was wrong."""

    findings: list[Finding] = field(default_factory=list)
    entries: int = 0
    cuts: int = 0
    files: int = 0
    rows: int = 0
    octets: int = 0
    signatures: bool = True

    @property
    def sound(self) -> bool:
        return not self.findings

    def add(self, kind: str, where: str, message: str) -> None:
        self.findings.append(Finding(kind, where, message))


def verify(ledger: Ledger, keys: Iterable[Ed25519PublicKey] = (), contents: bool = True,
           heads: Sequence[bytes] = (), progress: Callable[[int, int], None] | None = None) -> Report:
    """Check the whole ledger.

    keys: trusted public keys; without any, signatures are not checked and the report says so
    contents: also read every live file (sha256, rows, sums, time range); otherwise only that it is there
    heads: signed heads or cuts that were kept elsewhere, as bytes: they show a tail that was removed
    progress: called with (files done, files in all).
    """
    store, trusted, report = ledger.store, trusted_keys(keys), Report()
    report.signatures = bool(trusted)
    digests: dict[str, list[str]] = {}
    live: dict[str, FileEntry] = {}
    for stream in stream_names(store):
        digests[stream], files = _verify_stream(store, stream, trusted, report)
        live.update(files)
    _verify_heads(store, digests, heads, trusted, report)
    _verify_cuts(store, digests, trusted, report)
    there = {each.path: each.octets for each in store.list_all("")}
    for done, file in enumerate(live.values(), 1):
        _verify_file(store, file, there, contents, report)
        if progress:
            progress(done, len(live))
    return report


def _verify_stream(store: Store, stream: str, keys: Keys, report: Report) -> tuple[list[str], dict[str, FileEntry]]:
    """Digests of the entries by version (from 1 at index 0), and the live files."""
    paths = entry_names(store, stream)
    digests: list[str] = []
    live: dict[str, FileEntry] = {}
    recorded: dict[str, int] = {}
    for path, payload in zip(paths, store.read_many(paths), strict=True):
        while path > entry_path(stream, len(digests) + 1):
            report.add("chain", entry_path(stream, len(digests) + 1), "entry is missing")
            digests.append("")
        report.entries += 1
        previous = digests[-1] if digests else ""
        digests.append(digest(payload))
        try:
            entry = decode_entry(payload, path)
        except LedgerError as error:
            report.add("entry", path, str(error))
            continue
        _check_link(entry, stream, path, len(digests), previous, report)
        _check_signed(payload, path, keys, report)
        for wrong in check_positions(recorded, entry.positions):
            report.add("positions", path, wrong)
        recorded.update((source, end) for source, (_, end) in entry.positions.items())
        for removed in entry.removed:
            if live.pop(removed, None) is None:
                report.add("entry", path, f"removes {removed}, which is not live")
        live.update((each.path, each) for each in entry.added)
    return digests, live


def _check_link(entry: Entry, stream: str, path: str, place: int, previous: str, report: Report) -> None:
    if entry.stream != stream or entry.version != place:
        report.add("entry", path, f"says it is entry {entry.version} of {entry.stream}")
    if entry.previous != previous:
        report.add("chain", path, f"follows an entry with sha256 {entry.previous or 'none'}, but the one before it has "
                                  f"{previous or 'none'}: one of the two was edited")


def _check_signed(payload: bytes, path: str, keys: Keys, report: Report) -> None:
    wrong = check_signature(payload, keys) if keys else None
    if wrong:
        report.add("signature", path, wrong)


def _verify_heads(store: Store, digests: Mapping[str, list[str]], kept: Sequence[bytes], keys: Keys,
                  report: Report) -> None:
    paths = [each.path for each in store.list_all(HEAD_FOLDER) if not is_aside(each.path)]
    for path, payload in [*((path, store.read(path)) for path in paths),
                          *(("a head kept elsewhere", payload) for payload in kept)]:
        _check_signed(payload, path, keys, report)
        try:
            if b'"streams"' in payload:
                cut = msgspec.json.decode(payload, type=Cut)
                heads = [(name, each.version, each.sha256) for name, each in cut.streams.items()]
            else:
                head = msgspec.json.decode(payload, type=Head)
                heads = [(head.stream, head.version, head.sha256)]
        except UNREADABLE as error:
            report.add("tail", path, f"cannot be read: {error}")
            continue
        for stream, version, sha256 in heads:
            _check_head(stream, version, sha256, digests, path, report)


def _check_head(stream: str, version: int, sha256: str, digests: Mapping[str, list[str]], path: str,
                report: Report) -> None:
    known = digests.get(stream, [])
    if version > len(known):
        report.add("tail", path, f"stream {stream} ends at entry {len(known)}, but entry {version} was signed: "
                                 f"{version - len(known)} entries were removed from its tail")
    elif version and known[version - 1] != sha256:
        report.add("tail", path, f"entry {version} of stream {stream} is not the one that was signed")


def _verify_cuts(store: Store, digests: Mapping[str, list[str]], keys: Keys, report: Report) -> None:
    previous = ""
    paths = [each.path for each in store.list_all(CUT_FOLDER) if not is_aside(each.path)]
    for number, (path, payload) in enumerate(zip(paths, store.read_many(paths), strict=True), 1):
        report.cuts += 1
        _check_signed(payload, path, keys, report)
        try:
            cut = msgspec.json.decode(payload, type=Cut)
        except UNREADABLE as error:
            report.add("cut", path, f"cannot be read: {error}")
            previous = digest(payload)
            continue
        if cut.number != number or path != cut_path(number) or cut.previous != previous:
            report.add("cut", path, "does not continue the chain of cuts")
        for stream, each in cut.streams.items():
            _check_head(stream, each.version, each.sha256, digests, path, report)
        previous = digest(payload)


def _verify_file(store: Store, file: FileEntry, there: Mapping[str, int], contents: bool, report: Report) -> None:
    report.files += 1
    report.octets += file.octets
    report.rows += max(file.rows, 0)
    if file.path not in there:
        report.add("file", file.path, "is missing")
        return
    if there[file.path] != file.octets:
        report.add("file", file.path, f"has {there[file.path]} octets; {file.octets} were committed")
        return
    if not contents:
        return
    payload = store.read(file.path) if file.kind == TABLE else b""  # tables are bounded by a batch, others are not
    found = digest(payload) if file.kind == TABLE else store.sha256(file.path)
    if found != file.sha256:
        report.add("file", file.path, f"has sha256 {found}; {file.sha256} was committed: it was changed")
    elif file.kind == TABLE:
        _verify_table(payload, file, report)


def _verify_table(payload: bytes, file: FileEntry, report: Report) -> None:
    """That the entry says of the file what the file says of itself: an entry that was forged with its file."""
    try:
        table = decode_table(payload, path=file.path)
    except LedgerError as error:
        report.add("file", file.path, error.found)
        return
    if table.num_rows != file.rows:
        report.add("file", file.path, f"has {table.num_rows} rows; its entry says {file.rows}")
    sums = column_sums(table)
    for name in sorted(sums.keys() | file.sums.keys()):
        if sums.get(name) != file.sums.get(name):
            report.add("file", file.path, f"column {name} sums to {sums.get(name)}; its entry says "
                                          f"{file.sums.get(name)}")
    if time_range(table) != (file.min_time_us, file.max_time_us):
        report.add("file", file.path, f"has event times {time_range(table)}; its entry says "
                                      f"{(file.min_time_us, file.max_time_us)}")
