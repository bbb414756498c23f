"""The content hash: what a ledger says, whatever way it came to say it.

Per table the sum of row hashes modulo 2^128, over values and not encodings, without versions, epochs, journal
positions, file names and wall times: a killed and resumed run, or a compacted ledger, has the same. With
`exclude_origin` it also leaves out where rows came from and the file audit, for tests that cut the input otherwise.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.ledger.ledger import AsOf, Ledger
from pipelines.ledger.row_hash import fold_column_nb, sum_rows_nb
from schemas.columns import I64, U8
from schemas.errors import InvariantError

POSITIONS = frozenset({"journal_position"})
ORIGIN = frozenset({"source", "file_id", "record_offset", "record_length", "first_file_id", "first_record_offset",
                    "fault_offset"})
AUDIT_TABLES = frozenset({"file_audit"})
_MODULUS = 1 << 128


def content_hash(ledger: Ledger, tables: Sequence[str] | None = None, exclude_origin: bool = False,
                 as_of: AsOf = None) -> dict[str, str]:
    """32 hex digits by table, for `tables` or all that have rows. Tables without rows are left out."""
    found = {}
    for table in ledger.tables(as_of) if tables is None else sorted(tables):
        if exclude_origin and table in AUDIT_TABLES:
            continue
        rows, total = 0, 0
        for part in ledger.batches(table, as_of):
            rows += part.num_rows
            total = (total + table_hash(part, exclude_origin)) % _MODULUS
        if rows:
            found[table] = f"{total:032x}"
    return found


def table_hash(table: pa.Table, exclude_origin: bool = False) -> int:
    """Sum of the row hashes of `table`, modulo 2^128. Row order, column order and null columns do not matter.

    Raises InvariantError for a type that has no exact 64-bit form.
    """
    if not table.num_rows:
        return 0
    left_out = POSITIONS | ORIGIN if exclude_origin else POSITIONS
    hi, lo = np.zeros(table.num_rows, np.uint64), np.zeros(table.num_rows, np.uint64)
    for name in sorted(set(table.column_names) - left_out):
        column = table.column(name)
        if column.null_count == len(column):
            continue
        values, present = _as_int64(column.combine_chunks(), name)
        fold_column_nb(hi, lo, values, present, _text_hash(name))
    total = np.zeros(2, np.uint64)
    sum_rows_nb(hi, lo, total)
    return int(total[0]) << 64 | int(total[1])


def _as_int64(array: pa.Array, name: str) -> tuple[I64, U8]:
    """Values as 64-bit patterns, and which are present. Text by its hash, dictionaries by their text."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)
    kind = array.type
    present: U8 = array.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        array = array.dictionary_encode()
        kind = array.type
    if pa.types.is_dictionary(kind):
        names = np.array([_text_hash(each) if each is not None else 0 for each in array.dictionary.to_pylist()] or [0],
                         np.int64)
        index = pc.fill_null(array.indices, 0).to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(names[index]), present
    if pa.types.is_timestamp(kind):
        array = array.cast(pa.timestamp("us", kind.tz)).view(pa.int64())
    elif pa.types.is_uint64(kind):
        array = array.view(pa.int64())
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        array = array.cast(pa.int64())
    else:
        raise InvariantError(f"column {name} has the type {kind}, which the content hash does not know")
    return np.ascontiguousarray(array.fill_null(0).to_numpy(zero_copy_only=False)), present


def _text_hash(text: str) -> int:
    """64 bits of a text, the same on every machine; Python's own `hash` is not."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
