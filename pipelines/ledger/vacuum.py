"""Remove what no entry names, and replaced files after their retention. Never a live file.

A file that no entry names may be about to be named, so it goes only when it is older than `orphan_age_s`. A file
that a later entry removed is still needed to read as of an earlier cut; it goes once that entry is older than
`retention_s`, and reading as of a cut before it then fails with the file's name.
"""

import datetime as dt
from dataclasses import dataclass

from pipelines.ledger.catalogue import SCHEMA_FOLDER, SCRIPT
from pipelines.ledger.cut import CUT_FOLDER
from pipelines.ledger.head import HEAD_FOLDER
from pipelines.ledger.ledger import Ledger
from pipelines.ledger.log import LOG_FOLDER
from pipelines.ledger.store import is_aside

DAY_S = 86_400
ORPHAN_AGE_S = DAY_S
RETENTION_S = 400 * DAY_S
_KEPT = tuple(f"{each}/" for each in (LOG_FOLDER, CUT_FOLDER, HEAD_FOLDER, SCHEMA_FOLDER))


@dataclass(frozen=True)
class Vacuumed:
    """Paths removed (or that would be), and the octets they held."""

    orphans: list[str]
    replaced: list[str]
    octets: int


def vacuum(ledger: Ledger, now_s: float, orphan_age_s: float = ORPHAN_AGE_S, retention_s: float = RETENTION_S,
           dry_run: bool = False) -> Vacuumed:
    """Remove orphans older than `orphan_age_s` and files replaced more than `retention_s` ago.

    now_s: the time, seconds of Unix time; ages are measured against it. dry_run: only say what would go.
    """
    # Files are listed before the log is read: a file that is committed in between is old enough only if it is named.
    listed = ledger.store.list_all("")
    live: set[str] = set()
    replaced_at: dict[str, float] = {}
    for log in ledger.logs().values():
        live.update(log.live())
        for entry in log.entries:
            at = dt.datetime.fromisoformat(entry.committed_at).timestamp()
            replaced_at.update((path, at) for path in entry.removed)
    orphans, replaced, octets = [], [], 0
    for each in listed:
        if each.path in live or each.path == SCRIPT or (each.path.startswith(_KEPT) and not is_aside(each.path)):
            continue
        if each.path in replaced_at:
            if now_s - replaced_at[each.path] <= retention_s:
                continue
            replaced.append(each.path)
        elif now_s - each.modified_s > orphan_age_s:
            orphans.append(each.path)
        else:
            continue
        octets += each.octets
    if not dry_run:
        for path in (*orphans, *replaced):
            ledger.store.delete(path)
    return Vacuumed(orphans, replaced, octets)
