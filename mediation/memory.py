"""What mediation carries from batch to batch.

The lexicon is convenience: lost at a restart, it fills again. The rest is ledger state: a restart restores it from the
newest commit, and goes on as if nothing had happened.
"""

from dataclasses import dataclass, field

from mediation.duplicates import DuplicateIndex
from mediation.tokens import TokenTable, WordTable

LABELS = ("source", "apn", "other_network")
NEVER_US = -(1 << 62)  # watermark of a stream that has brought nothing yet


@dataclass
class Lexicon:
    """labels: column name to names, shared with whoever turns cells into Arrow; they only ever grow."""

    labels: dict[str, list[str]] = field(default_factory=dict)
    tokens: TokenTable = field(default_factory=TokenTable)
    apns: WordTable = field(init=False)

    def __post_init__(self) -> None:
        for name in LABELS:
            self.labels.setdefault(name, [])
        self.apns = WordTable(self.labels["apn"])

    def label(self, column: str, name: str) -> int:
        """Label of a name, new or known."""
        names = self.labels[column]
        try:
            return names.index(name)
        except ValueError:
            names.append(name)
            return len(names) - 1


@dataclass
class MediationMemory:
    """duplicates: keys of all records within the horizon. watermarks: per stream, the latest key time taken, UTC
    microseconds; it only rises, with records in collection order or by a clock command."""

    duplicates: DuplicateIndex
    lexicon: Lexicon = field(default_factory=Lexicon)
    watermarks: dict[str, int] = field(default_factory=dict)
