"""Lists of friends: friends.parquet of the operator's folder, if it is there. Numbers become tokens at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reference_data import tables
from reference_data.inventory import tokens_of
from schemas.codes import Identity
from schemas.columns import I64
from schemas.errors import ReferenceDataError

FILE = "friends.parquet"
FRIENDS = {"account_id": "int", "number": "text", **tables.INTERVAL}
FOREVER_US = 1 << 62
_SCHEMA = pa.schema([(name, pa.int64()) for name in ("account_id", "token", "from_us", "to_us")])


def load_friends(operator_dir: Path, token_key: tuple[int, int], accounts: I64) -> pa.Table:
    """Who is whose friend, from when until before when: account_id, token, from_us, to_us, by account, token and time.

    Rows that are no longer believed (recorded_to) are left out. accounts: ids of accounts.parquet, ascending. No file,
    no friends. Raises ReferenceDataError, which shows no number.
    """
    path = operator_dir / FILE
    if not path.exists():
        return _SCHEMA.empty_table()
    found = tables.read_table(path, FRIENDS)
    tables.interval_columns(found, path)
    found = found.filter(pc.is_null(found["recorded_to"])).combine_chunks()
    owner = tables.integers(found, "account_id")
    unknown = ~np.isin(owner, accounts)
    if unknown.any():
        raise ReferenceDataError(f"{FILE}, account_id: {int(owner[unknown.argmax()])}", "ids of accounts.parquet",
                                 "add the account or remove the rows")
    if not found.num_rows:
        return _SCHEMA.empty_table()
    numbers = pc.replace_substring_regex(found["number"].combine_chunks(), r"^\+", "")
    try:
        token = tokens_of(numbers, Identity.MSISDN, token_key)
    except ReferenceDataError as problem:
        raise ReferenceDataError(f"{FILE}, number: {problem.found.removeprefix('values, value: ')}",
                                 "E.164 digits, with or without +", "correct the rows") from None
    columns = (owner, token, tables.integers(found, "valid_from"), tables.integers(found, "valid_to", FOREVER_US))
    order = np.lexsort((columns[2], columns[1], columns[0]))
    account, token, start, stop = (column[order] for column in columns)
    again = (account[1:] == account[:-1]) & (token[1:] == token[:-1]) & (start[1:] < stop[:-1])
    if again.any():
        raise ReferenceDataError(f"{FILE}: account {int(account[1:][again.argmax()])} has a number twice at one time",
                                 "each number once", "end the earlier row, or close it with recorded_to")
    return pa.table([account, token, start, stop], schema=_SCHEMA)


def friends_content(operator_dir: Path) -> bytes:
    """What the reference data's hash takes in of the file: the same in whatever order its rows are."""
    return repr((FILE, tables.table_hash(tables.read_table(operator_dir / FILE, FRIENDS)))).encode()
