"""What commands changed in who holds which identity: the rows that charging commits and mediation reads."""

from schemas.columns import Column, ColumnSet

# A point (key, part): from valid_from_us on, and until the next that is known. part absent: the key is a token, and
# `holder` the account; else the key is a service, part the kind of identity, and `holder` the only token of it.
IDENTITY_CHANGE = ColumnSet("identity_change", 1, (
    Column("movement_hi", "uint64", "the command that made it", nullable=False),
    Column("movement_lo", "uint64", "lower half", nullable=False),
    Column("change_index", "int16", "place among the rows of the command", nullable=False),
    Column("journal_position", "int64", "journal entry", nullable=False),
    Column("account_id", "int64", "whose command it was", nullable=False),
    Column("key", "int64", "token of the identity, or the service", nullable=False),
    Column("part", "int64", "absent: the key is a token; else the kind of identity of a service"),
    Column("valid_from_us", "time", "since when it holds", nullable=False),
    Column("recorded_us", "time", "when it was said", nullable=False),
    Column("holder", "int64", "account of a token, token of a service; absent: none"),
    Column("service_id", "int64", "service that has or had it"),
    Column("group_id", "int64", "charging group"),
    Column("until_us", "int64", "absent: it is held; else microseconds until when nobody may get it"),
))
