"""What became of every file: the second count beside the containers."""

from enum import IntEnum

from schemas.codes import Reason
from schemas.columns import Column, ColumnSet
from schemas.usage import ORIGIN


class FileState(IntEnum):
    """What a file turned out to be."""

    READ = 0
    DUPLICATE_FILE = 1
    UNREADABLE = 2
    REFUSED_FORMAT = 3


FILE_AUDIT = ColumnSet("file_audit", 1, (
    Column("source", "label", "network element", nullable=False),
    Column("file_id", "int64", "place in collection order", nullable=False),
    Column("file_name", "label", "name as delivered", nullable=False),
    Column("sha256_hi", "uint64", "first half of the leading 16 bytes of the sha256", nullable=False),
    Column("sha256_lo", "uint64", "second half", nullable=False),
    Column("file_octets", "int64", "size", nullable=False),
    Column("file_time_us", "time", "time that the file's name declares"),
    Column("file_sequence", "int64", "sequence number from name or header"),
    Column("state", "code", "what it turned out to be", FileState, nullable=False),
    Column("declared_records", "int64", "records that header or trailer announce"),
    Column("declared_octets", "int64", "length that the header announces"),
    Column("record_count", "int64", "records found", nullable=False),
    Column("container_count", "int64", "containers found", nullable=False),
    Column("header_octets", "int64", "octets of header and trailer", nullable=False),
    Column("record_octets", "int64", "octets of records; with the header the whole file", nullable=False),
    Column("header_lies", "bool", "header and content disagree", nullable=False),
    Column("duplicate_of", "int64", "file_id of the first copy"),
    Column("file_sequence_modulo", "int64", "where the source's file numbers wrap; absent: never"),
))

# The durable order of collection: one row per file, before anything is decoded.
COLLECTED = ColumnSet("collected", 1, (
    Column("source", "label", "network element", nullable=False),
    Column("file_id", "int64", "place of the file in collection order, from 1", nullable=False),
    Column("file_name", "label", "name as delivered", nullable=False),
    Column("sha256_hi", "uint64", "first 8 bytes of the sha256", nullable=False),
    Column("sha256_lo", "uint64", "next 8 bytes", nullable=False),
    Column("file_octets", "int64", "size", nullable=False),
    Column("file_time_us", "time", "time that the name declares"),
    Column("file_sequence", "int64", "sequence number that the name declares"),
    Column("duplicate_of", "int64", "file_id of the first file with this content"),
))

# Top-ups, account changes and clock ticks, in collection order; the line itself is in the archive and the journal.
COMMAND = ColumnSet("command", 1, (
    *ORIGIN,
    Column("kind", "label", "top_up, adjust, plan_change, credit_limit, state, clock", nullable=False),
    Column("reason", "code", "OK, or why it cannot be carried out", Reason, nullable=False),
    Column("event_time_us", "time", "when it takes effect"),
    Column("account_id", "int64", "whose"),
))

# Numbers of a node's own record sequence that have not come. Replaced whole by each run.
SEQUENCE_GAP = ColumnSet("sequence_gap", 1, (
    Column("node", "label", "network element", nullable=False),
    Column("first", "int64", "first number that is missing", nullable=False),
    Column("last", "int64", "last number that is missing", nullable=False),
))

# Files that were backed out whole: their content is no repetition when it comes again, under another name.
BACKED_OUT_FILE = ColumnSet("backed_out_file", 1, (
    Column("file_id", "int64", "place in collection order", nullable=False),
    Column("journal_position", "int64", "the correction that took it back", nullable=False),
))
