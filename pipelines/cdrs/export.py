"""Write what was charged online as CHF records into files, each usage in exactly one record.

The ledger's stream `cdr` says how far it got. Numbered steps: 1 write the files under hidden names and sync them,
2 commit the journal position, the files' names and the sessions that go on, 3 give the files their names. A kill
before 2 leaves hidden files that nothing names, which the next export removes; after it, the next one gives the names.
"""

import getpass
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.cdrs.charging_file import ChargingFile, cut
from pipelines.cdrs.sessions import OpenSession, Row, Sessions, known_subscriber
from pipelines.durable import Disk, reached
from pipelines.home import Home
from pipelines.keys import Keys
from pipelines.ledger import Ledger, Rows
from pipelines.ledger.stream import Stream
from pipelines.online_grants import OnlineGrants
from pipelines.vault import Vault
from schemas.columns import ABSENT, Cells
from schemas.errors import LedgerError
from schemas.matching import CDR_FILE, CDR_SESSION
from schemas.online import GRANT

STREAM = "cdr"
HIDDEN = ".writing-"
_SECOND_US = 1_000_000


@dataclass(frozen=True)
class ExportOptions:
    """node: recordingNetworkFunctionID, and the beginning of file names. A file is closed at most_octets, most_records
    or most_s of record time; a session that lasts longer than partial_s gets partial records. subscribers: put the IMSI
    into records, which is a look into the vault and kept in its audit."""

    node: str = "tarifa-chf"
    most_octets: int = 16 << 20
    most_records: int = 100_000
    most_s: int = 3600
    partial_s: int = 86_400
    subscribers: bool = True


@dataclass(frozen=True)
class Exported:
    """What one round wrote; sessions that go on and have no record yet."""

    files: tuple[str, ...]
    records: int
    open_sessions: int


def export(home: Home, folder: Path, options: ExportOptions | None = None, disk: Disk | None = None) -> Exported:
    """One round. Raises LedgerError: the home has no ledger, or the folder cannot be written."""
    options, disk = options or ExportOptions(), disk or Disk()
    keys = Keys.open(home.keys)
    ledger = Ledger.open(home.ledger, keys.signing_key, disk=disk)
    if "charging" not in ledger.logs():
        raise LedgerError(f"no charging in the ledger at {home.ledger}", "--home DIR of a node or of a run")
    stream = ledger.stream(STREAM)
    try:
        disk.make_dir(folder)
        _finish(stream, folder, disk)
        return _export(home, keys, ledger, stream, folder, options, disk)
    finally:
        stream.close()


def _export(home: Home, keys: Keys, ledger: Ledger, stream: Stream, folder: Path, options: ExportOptions, disk: Disk
            ) -> Exported:
    grants = OnlineGrants(ledger)
    start, stop = stream.positions.get("journal", 0), grants.end()
    sequence = int(stream.state.get("sequence", 0))
    sessions = Sessions(options.node, options.partial_s, int(stream.state.get("records", 0)),
                        _open_sessions(ledger, stream))
    if stop <= start:
        return Exported((), 0, len(sessions.open))
    rows = [row for cells, labels in _read(grants, start, stop) for row in _rows(cells, labels)]
    tokens = [row["imsi_token"] for row in rows] + [row["imsi_token"] for s in sessions.open.values() for row in s.rows]
    numbers = _numbers(home, keys, tokens, start, stop, disk) if options.subscribers else {}
    records = [(record.encode(), at) for record, at in sessions.take(rows, known_subscriber(numbers))]
    files = [ChargingFile(options.node, sequence + number, records[first:last], reason)
             for number, (first, last, reason) in enumerate(
                 cut(records, options.most_octets, options.most_records, options.most_s * _SECOND_US), 1)]
    for file in files:
        disk.write_new(folder / f"{HIDDEN}{file.name}", [file.encode()])  # 1
    disk.sync_dir(folder)
    reached("cdr.written")
    staged = [stream.stage("cdr_file", Rows(_file_cells(files, stop), {"file_name": [f.name for f in files]}))] \
        if files else []
    kept, sources = _session_cells(sessions)
    if len(kept):
        staged.append(stream.stage("cdr_session", Rows(kept, {"source": sources})))
    stream.commit(staged, removed=[f.path for f in stream.files("cdr_session")], positions={"journal": (start, stop)},
                  state={"sequence": sequence + len(files), "records": sessions.local_sequence,
                         "files": [f.name for f in files]}, kind="export")  # 2
    reached("cdr.committed")
    _finish(stream, folder, disk)
    return Exported(tuple(file.name for file in files), len(records), len(sessions.open))


def _finish(stream: Stream, folder: Path, disk: Disk) -> None:
    """Step 3, also for an export that was killed; then no hidden file is left."""
    committed = {str(name) for name in stream.state.get("files", [])}
    for name in disk.list_dir(folder):
        if name.startswith(HIDDEN):
            if name.removeprefix(HIDDEN) in committed:
                disk.rename(folder / name, folder / name.removeprefix(HIDDEN))
            else:
                disk.unlink(folder / name)
    disk.sync_dir(folder)
    reached("cdr.named")


def _read(grants: OnlineGrants, start: int, stop: int) -> Sequence[tuple[Cells, list[str]]]:
    labels: dict[str, list[str]] = {}
    parts = list(grants.between(start, stop, labels))
    whole = Cells.concat(GRANT, parts)
    order = np.argsort(whole["journal_position"], kind="stable")  # as charged, whatever was compacted
    return [(whole.take(order), labels.get("source", []))]


def _rows(cells: Cells, sources: Sequence[str]) -> list[Row]:
    columns = {name: cells[name].tolist() for name in GRANT.names if name in cells.columns.names}
    columns["source"] = [sources[place] for place in columns["source"]]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _numbers(home: Home, keys: Keys, tokens: Sequence[int], start: int, stop: int, disk: Disk) -> dict[int, str]:
    """IMSIs behind tokens, as far as the vault has them."""
    wanted = np.unique(np.array(tokens, np.int64))
    wanted = wanted[wanted >= 0]
    if not wanted.size or not home.vault.is_dir():
        return {}
    with Vault(home.vault, keys, disk, write=False) as vault:
        found = vault.lookup(wanted, getpass.getuser(), f"CDRs of online charging, journal {start} to {stop}",
                             time.time_ns() // 1000)
    return {int(token): found.shown(row) for row, token in enumerate(found.token)}


def _file_cells(files: Sequence[ChargingFile], position: int) -> Cells:
    cells = Cells.empty(CDR_FILE, len(files))
    cells["file_name"] = np.arange(len(files))
    cells["file_sequence"] = [file.sequence for file in files]
    cells["record_count"] = [len(file.records) for file in files]
    cells["file_octets"] = [len(file.encode()) for file in files]
    cells["closure_reason"] = [file.reason for file in files]
    cells["journal_position"] = position
    return cells


def _session_cells(sessions: Sessions) -> tuple[Cells, list[str]]:
    """Open sessions: a row for each report since the last record, at least one each."""
    rows = []
    for (hi, lo), session in sessions.open.items():
        empty = dict.fromkeys(GRANT.names, ABSENT) | {"session_hi": hi, "session_lo": lo, "source": "", "kind": 0,
                                                      "final_action": 0, "released": 0, "result_code": 0}
        rows += [row | {"opened_us": session.opened_us, "partials": session.partials}
                 for row in session.rows or [empty]]
    cells = Cells.empty(CDR_SESSION, len(rows))
    sources = sorted({row["source"] for row in rows})
    for name in CDR_SESSION.names:
        cells[name] = [sources.index(row[name]) if name == "source" else row[name] for row in rows]
    return cells, sources


def _open_sessions(ledger: Ledger, stream: Stream) -> dict[tuple[int, int], OpenSession]:
    labels: dict[str, list[str]] = {}
    found: dict[tuple[int, int], OpenSession] = {}
    for file in stream.files("cdr_session"):
        cells = Cells.from_arrow(CDR_SESSION, ledger.read_table(file), labels)
        opened, partials = cells["opened_us"].tolist(), cells["partials"].tolist()
        for i, row in enumerate(_rows(cells, labels["source"])):
            session = found.setdefault((row["session_hi"], row["session_lo"]), OpenSession(opened[i], [], partials[i]))
            if row["used"] != ABSENT or row["granted"] != ABSENT:
                session.rows.append(row)
    return found
