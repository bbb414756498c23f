"""Upkeep of a home's ledger: fewer and sorted files, and none that nobody needs.

Both hold the vault's lock, so that no run is going on, and want charging to be settled: entries of the journal above
the newest snapshot name usage files by the commit that added them, and a replay would look for them in vain.
"""

from collections.abc import Sequence

from pipelines.durable import Disk
from pipelines.home import Home
from pipelines.keys import Keys
from pipelines.ledger import Ledger
from pipelines.ledger.compact import Compacted, compact
from pipelines.ledger.stream import TABLE
from pipelines.ledger.vacuum import Vacuumed, vacuum
from pipelines.mediating import RECYCLE, STATE_TABLES
from pipelines.snapshots import Snapshots
from pipelines.vault import Vault
from schemas.errors import LedgerError

STREAMS = ("charging", "collection", "mediation")


def compact_home(home: Home, keys: Keys, tables: Sequence[str] = (), disk: Disk | None = None) -> list[Compacted]:
    """Compact `tables`, or all but those that a run makes whole itself. Returns what was done.

    Raises LedgerError: a table that is not there, charging not settled, or a run going on.
    """
    with Vault(home.vault, keys, disk):
        ledger = Ledger.open(home.ledger, keys.signing_key, disk=disk)
        check_settled(home, ledger)
        present = {(name, file.table) for name, log in ledger.logs().items() for file in log.live().values()
                   if file.kind == TABLE and file.table not in STATE_TABLES}
        unknown = sorted(set(tables) - {table for _, table in present})
        if unknown:
            raise LedgerError(f"no table {unknown[0]!r} to compact",
                              "one of " + ", ".join(sorted({table for _, table in present})))
        done = []
        for name in STREAMS:
            mine = sorted(table for owner, table in present if owner == name and (not tables or table in tables))
            if mine:
                stream = ledger.stream(name)
                done += compact(ledger, stream, mine)
                stream.close()
        return done


def vacuum_home(home: Home, keys: Keys, now_s: float, orphan_age_s: float, retention_s: float, dry_run: bool = False,
                disk: Disk | None = None) -> Vacuumed:
    """Remove what `vacuum` finds. Raises LedgerError: charging not settled, or a run going on."""
    with Vault(home.vault, keys, disk):
        ledger = Ledger.open(home.ledger, disk=disk)
        check_settled(home, ledger)
        return vacuum(ledger, now_s, orphan_age_s, retention_s, dry_run)


def check_settled(home: Home, ledger: Ledger) -> None:
    """Raises LedgerError when the journal has entries that a restart would replay."""
    logs = ledger.logs()
    charging, mediation = logs.get("charging"), logs.get("mediation")
    charged = charging.positions().get("journal", 0) if charging else 0
    newest = Snapshots(home.snapshots).newest(charged, make=False) if charged else None
    state = charging.entries[-1].state if charging else {}
    behind = [e for e in (mediation.entries if mediation else [])[int(state.get("mediation_version", 0)):]
              if e.op in ("append", RECYCLE)]
    if behind or (charged and (newest is None or newest.position != charged)):
        raise LedgerError("a run was stopped on its way: charging has a journal to replay",
                          remedy="run `tarifa run` once, then again")
