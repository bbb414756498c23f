"""Tables for `tarifa sql --reveal`: what stands behind tokens, as Arrow, for the asked tokens only."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.vault.entries import Entries
from pipelines.vault.vault import Vault
from schemas.codes import Identity
from schemas.columns import I64

SCHEMA = pa.schema([pa.field("token", pa.int64(), nullable=False), pa.field("identity", pa.string(), nullable=False),
                    pa.field("value", pa.string())])


def reveal_table(vault: Vault, token: I64, who: str, why: str, time_us: int) -> pa.Table:
    """(token, identity, value) of each asked token, ascending. One audit entry, written before anything is read.

    identity is "unknown" for a token that the vault does not hold, "erased" when its value was; value is null then.
    """
    wanted = np.unique(np.asarray(token, np.int64))
    wanted = wanted[wanted >= 0]
    found = vault.lookup(wanted, who, why, time_us)
    place = {int(t): row for row, t in enumerate(found.token)}
    erased = vault.erased() if len(found) < len(wanted) else set()
    rows = [_row(int(t), place.get(int(t)), found, erased) for t in wanted]
    return pa.Table.from_pylist(rows, SCHEMA)


def reveal_columns(vault: Vault, table: pa.Table, who: str, why: str, time_us: int) -> pa.Table:
    """A result with every column called `..._token` followed by one without that ending, holding the values."""
    columns = [n for n in table.column_names if n == "token" or n.endswith("_token")]
    tokens = [pc.drop_null(table.column(n).cast(pa.int64())).to_numpy() for n in columns]
    revealed = reveal_table(vault, np.concatenate([*tokens, np.empty(0, np.int64)]), who, why, time_us)
    for name in columns:
        place = pc.index_in(table.column(name).cast(pa.int64()), value_set=revealed.column("token"))
        values = revealed.column("value").take(place)
        shown = "value" if name == "token" else name.removesuffix("_token")
        table = table.add_column(table.column_names.index(name) + 1, shown, values)
    return table


def _row(token: int, row: int | None, found: Entries, erased: set[int]) -> dict[str, object]:
    if row is None:
        return {"token": token, "identity": "erased" if token in erased else "unknown", "value": None}
    return {"token": token, "identity": Identity(int(found.identity[row])).name.lower(), "value": found.shown(row)}
