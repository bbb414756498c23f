"""What entries did to the book, gathered until it is committed."""

from dataclasses import dataclass, field
from typing import Protocol

from rating.charging import Charged
from rating.laws import check_movements
from schemas.columns import Cells
from schemas.identity_change import IDENTITY_CHANGE
from schemas.online import GRANT
from schemas.rated import ACCOUNT_STATE, LEG_SUSPENSE, NOTIFICATION, POSTING, RATED
from schemas.usage import SUSPENSE

TABLES = (("rated", RATED), ("posting", POSTING), ("suspense", SUSPENSE), ("notification", NOTIFICATION),
          ("account_state", ACCOUNT_STATE), ("leg_suspense", LEG_SUSPENSE), ("identity_change", IDENTITY_CHANGE),
          ("grant", GRANT))


class Outcomes(Protocol):
    """What is committed. rows: of all tables, about; commands: as `Folded` has them."""

    rows: int
    commands: list[tuple[int, bytes]]

    def by_table(self) -> dict[str, list[Cells]]:
        """What there is of each table, piece by piece; those without rows left out."""

    def tables(self) -> dict[str, Cells]:
        """Rows by table, empty ones too."""


@dataclass
class Folded:
    """Outcomes in the order of their entries. rows: of all of them, about.

    commands: those that came live, [journal position, content]: the ledger keeps them, no file has them.
    """

    parts: list[Charged] = field(default_factory=list)
    grants: list[Cells] = field(default_factory=list)
    commands: list[tuple[int, bytes]] = field(default_factory=list)
    rows: int = 0

    def add(self, *parts: Charged) -> None:
        """What further entries did."""
        for part in parts:
            self.parts.append(part)
            self.rows += len(part.rated) + len(part.posting) + len(part.suspense) + len(part.identity_change)

    def add_command(self, place: int, content: bytes) -> None:
        """A command that came live, as it is kept."""
        self.commands.append((place, content))
        self.rows += 1

    def add_grants(self, grants: Cells) -> None:
        """What became of requests."""
        if len(grants):
            self.grants.append(grants)
            self.rows += len(grants)

    def add_all(self, other: "Folded") -> None:
        """What another stretch of entries did, behind this one."""
        self.parts += other.parts
        self.grants += other.grants
        self.commands += other.commands
        self.rows += other.rows

    def by_table(self) -> dict[str, list[Cells]]:
        """What there is of each table, piece by piece; those without rows left out."""
        found = {name: [cells for part in self.parts if len(cells := getattr(part, name))] for name, _ in TABLES[:-1]}
        found["grant"] = self.grants
        return {name: cells for name, cells in found.items() if cells}

    def tables(self) -> dict[str, Cells]:
        """Rows by table, empty ones too."""
        pieces = self.by_table()
        return {name: Cells.concat(columns, pieces.get(name, ())) for name, columns in TABLES}


def check_moved(moved: list[Charged]) -> None:
    """Movements of commands that were carried out without a check each."""
    check_movements(Cells.concat(POSTING, [m.posting for m in moved]))
