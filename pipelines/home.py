"""Where one operator's state lives: ledger, journal, snapshots, vault and keys, each in its own folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The state folder of one operator. The ledger may live elsewhere, at a local path or an object store's URL."""

    root: Path
    ledger_location: str = ""

    @property
    def ledger(self) -> str:
        return self.ledger_location or str(self.root / "ledger")

    @property
    def state(self) -> Path:
        """Local working state that the ledger's log names (duplicate runs)."""
        return self.root / "state"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def vault(self) -> Path:
        return self.root / "vault"

    @property
    def reference(self) -> Path:
        """Tariffs that the past was charged under."""
        return self.root / "reference"

    @property
    def compiled(self) -> Path:
        """What was made of the operator's files, to be made again when it is gone."""
        return self.root / "compiled"

    @property
    def corrections(self) -> Path:
        """What corrections wrote, as long as the journal names it."""
        return self.root / "corrections"

    @property
    def keys(self) -> Path:
        return self.root / "keys"


@dataclass(frozen=True)
class Input:
    """What a run is given: the operator's reference data and the inbox of network files."""

    root: Path

    @property
    def operator(self) -> Path:
        return self.root / "operator"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def answer_key(self) -> Path:
        """Only for scoring; no stage of a run looks here."""
        return self.root / "answer-key"
