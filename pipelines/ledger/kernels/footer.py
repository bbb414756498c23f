"""The part of a Parquet footer that says where column chunks lie: one Thrift RowGroup, in the compact protocol.

Source: parquet.thrift (RowGroup, ColumnChunk, ColumnMetaData, Statistics); thrift-compact-protocol.
"""

import numpy as np
from numba import types

from pipelines.ledger.kernels import columns as c
from pipelines.ledger.kernels.octets import put_octet_nb, put_varint_nb, put_zigzag_nb
from schemas.jit import CELLS_IN, U8_IN, U8_OUT, kernel

# What the footer says of a column beside what was found: the columns of `titles`.
TYPE, PATH_AT, PATH_OCTETS, STATISTICS = range(4)
TITLES = 4


@kernel(None)
def put_limit_nb(out, at, value, octets):
    at = put_octet_nb(out, at, octets)
    for k in range(octets):
        at = put_octet_nb(out, at, value >> (8 * k) & 0xFF)
    return at


@kernel([types.int64(types.int64, CELLS_IN, CELLS_IN, U8_IN, U8_OUT, types.int64)])
def row_group_nb(rows, facts, titles, paths, out, at):
    """RowGroup of `rows` rows, of the chunks that `facts` (columns.chunks_nb) describes. Returns where it ends."""
    count = facts.shape[0]
    at = put_octet_nb(out, at, 0x19)  # 1 columns
    if count < 15:
        at = put_octet_nb(out, at, count << 4 | 0xC)
    else:
        at = put_octet_nb(out, at, 0xFC)
        at = put_varint_nb(out, at, np.uint64(count))
    total = 0
    for column in range(count):
        size = facts[column, c.CHUNK_STOP] - facts[column, c.CHUNK_AT]
        total += size
        encoding = facts[column, c.ENCODING]
        dictionary = facts[column, c.DICTIONARY_AT]
        at = put_octet_nb(out, at, 0x26)  # 2 file_offset
        at = put_zigzag_nb(out, at, facts[column, c.CHUNK_AT])
        at = put_octet_nb(out, at, 0x1C)  # 3 meta_data
        at = put_octet_nb(out, at, 0x15)  # 1 type
        at = put_zigzag_nb(out, at, titles[column, TYPE])
        at = put_octet_nb(out, at, 0x19)  # 2 encodings
        at = put_octet_nb(out, at, (3 if dictionary >= 0 else 2) << 4 | 5)
        if dictionary >= 0:
            at = put_zigzag_nb(out, at, c.AS_PLAIN)
        at = put_zigzag_nb(out, at, c.AS_RLE)
        at = put_zigzag_nb(out, at, encoding)
        at = put_octet_nb(out, at, 0x19)  # 3 path_in_schema
        at = put_octet_nb(out, at, 0x18)
        at = put_varint_nb(out, at, np.uint64(titles[column, PATH_OCTETS]))
        for k in range(titles[column, PATH_OCTETS]):
            at = put_octet_nb(out, at, paths[np.uint64(titles[column, PATH_AT] + k)])
        at = put_octet_nb(out, at, 0x15)  # 4 codec: uncompressed
        at = put_zigzag_nb(out, at, 0)
        for number in (rows, size, size):  # 5 num_values, 6 and 7 total sizes
            at = put_octet_nb(out, at, 0x16)
            at = put_zigzag_nb(out, at, number)
        at = put_octet_nb(out, at, 0x26)  # 9 data_page_offset
        at = put_zigzag_nb(out, at, facts[column, c.PAGE_AT])
        if dictionary >= 0:
            at = put_octet_nb(out, at, 0x26)  # 11 dictionary_page_offset
            at = put_zigzag_nb(out, at, dictionary)
        if titles[column, STATISTICS]:
            octets = titles[column, STATISTICS]
            at = put_octet_nb(out, at, 0x1C if dictionary >= 0 else 0x3C)  # 12 statistics
            at = put_octet_nb(out, at, 0x36)  # 3 null_count
            at = put_zigzag_nb(out, at, facts[column, c.NULLS])
            if facts[column, c.NULLS] < rows:
                at = put_octet_nb(out, at, 0x28)  # 5 max_value
                at = put_limit_nb(out, at, facts[column, c.HIGH], octets)
                at = put_octet_nb(out, at, 0x18)  # 6 min_value
                at = put_limit_nb(out, at, facts[column, c.LOW], octets)
            at = put_octet_nb(out, at, 0)
        at = put_octet_nb(out, at, 0)
        at = put_octet_nb(out, at, 0)
    for number in (total, rows):  # 2 total_byte_size, 3 num_rows
        at = put_octet_nb(out, at, 0x16)
        at = put_zigzag_nb(out, at, number)
    return put_octet_nb(out, at, 0)
