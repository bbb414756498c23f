"""What a mediation process carries from batch to batch beside its ledger state: words of labels and tokens seen."""

from dataclasses import dataclass, field

from mediation.tokens import TokenTable, WordTable

LABELS = ("source", "apn", "other_network")


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
