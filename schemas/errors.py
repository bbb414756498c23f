"""What goes wrong, by whose fault: the operator's, or ours. A bad record is neither; it goes to suspense."""


class ChargingError(Exception):
    """The operator can mend this: says what was found, what was expected and what to do."""

    def __init__(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.found, self.expected, self.remedy = found, expected, remedy
        parts = [found]
        if expected:
            parts.append(f"expected {expected}")
        if remedy:
            parts.append(remedy)
        super().__init__("; ".join(parts))


class ReferenceDataError(ChargingError):
    """A tariff, number plan, stream or inventory that cannot be used."""


class FormatError(ChargingError):
    """A layout that does not describe a format, or a file of a format that is not read yet."""


class LedgerError(ChargingError):
    """A ledger, journal, snapshot or vault that is damaged, stale or of an unknown version."""


class StaleWriterError(LedgerError):
    """Another writer has moved the stream on; this one must stop."""


class InvariantError(Exception):
    """Our mistake: a law did not hold. Raised before commit, so that nothing wrong is written."""
