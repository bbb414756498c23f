"""Controls: what must hold, or was found missing, as SQL that anyone can run over the ledger's views.

Each `*.sql` file is one SELECT with a header that says what it proves and what its columns mean; its last column is
`difference`, and every row in which that is not zero is a break. In stock DuckDB: `.read ledger.sql`, then
`.read conservation.sql`. A `law` must never break; a `finding` tells of the network, such as a file that never came.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import duckdb
import pyarrow as pa

from schemas.errors import LedgerError

KINDS = ("law", "finding")


@dataclass(frozen=True)
class Control:
    """One control: `title` and `kind` as its header has them."""

    name: str
    title: str
    kind: str
    sql: str


@dataclass(frozen=True)
class Outcome:
    """What a control said: rows it looked at, breaks among them, their differences added up without sign."""

    control: Control
    rows: int
    breaks: int
    difference: int

    @property
    def green(self) -> bool:
        return self.breaks == 0

    @property
    def red(self) -> bool:
        """A law is broken; what a finding finds is not our fault."""
        return self.control.kind == "law" and not self.green


def controls() -> list[Control]:
    """All controls, laws first, by name."""
    folder = files("pipelines.controls")
    found = [_parse(each.name.removesuffix(".sql"), each.read_text(encoding="utf-8"))
             for each in folder.iterdir() if each.name.endswith(".sql")]
    return sorted(found, key=lambda control: (KINDS.index(control.kind), control.name))


def control(name: str) -> Control:
    """One control. Raises LedgerError: no such control."""
    known = {each.name: each for each in controls()}
    if name not in known:
        raise LedgerError(f"no control is called {name!r}", f"one of {', '.join(known)}")
    return known[name]


def run_control(connection: duckdb.DuckDBPyConnection, control: Control) -> Outcome:
    """Run one control over the views of `connection` (`open_duckdb`, or a session that has read `ledger.sql`).

    Rows are counted where they are, so that a million accounts cost no memory here.
    """
    row: Any = connection.execute(
        "SELECT count(*), count(*) FILTER (difference <> 0), coalesce(sum(abs(difference)), 0) "  # noqa: S608
        f"FROM ({control.sql})").fetchall()[0]
    return Outcome(control, int(row[0]), int(row[1]), int(row[2]))


def run_controls(connection: duckdb.DuckDBPyConnection) -> list[Outcome]:
    """Run them all."""
    return [run_control(connection, each) for each in controls()]


def show(connection: duckdb.DuckDBPyConnection, control: Control, only_breaks: bool = False, limit: int = 1000
         ) -> pa.Table:
    """Rows of a control, at most `limit`; only those that break it if asked."""
    where = "WHERE difference <> 0" if only_breaks else ""
    return connection.sql(f"SELECT * FROM ({control.sql}) {where} LIMIT {int(limit)}").to_arrow_table()  # noqa: S608


def _parse(name: str, text: str) -> Control:
    """Header and statement of a file. Raises LedgerError for one that is not as the others are."""
    lines = text.splitlines()
    title = lines[0].removeprefix("--").strip() if lines and lines[0].startswith("--") else ""
    kind = next((line.removeprefix("-- kind:").split()[0] for line in lines if line.startswith("-- kind:")), "")
    if not title or kind not in KINDS:
        raise LedgerError(f"control {name}", "a title in its first line, and a line '-- kind: law' or "
                          "'-- kind: finding'")
    return Control(name, title, kind, text.rstrip().removesuffix(";"))
