"""Usage that was charged online and that CDRs report again: containers that wait for online reports, and shares."""

from schemas.codes import RecordType, Service
from schemas.columns import Column, ColumnSet
from schemas.online import GRANT
from schemas.usage import ORIGIN, USAGE

# Containers whose online session is still open, and that no report covers yet: class "held". The row with `decided`
# says that one waits no longer; what became of it stands where it went.
AWAITING = ColumnSet("awaiting", 1, (
    *USAGE.columns,
    Column("reference_hi", "uint64", "128-bit key of the session's text (ICID, charging session)"),
    Column("reference_lo", "uint64", "its lower half"),
    Column("deadline_us", "time", "record time of its stream from which it is not waited for", nullable=False),
    Column("decided", "bool", "it waits no longer", nullable=False),
))

# The share of a container that was charged online; the rest of its quantity is charged from the container.
MATCHED_PART = ColumnSet("matched_part", 1, (
    *ORIGIN,
    Column("event_id_hi", "uint64", "the container's event", nullable=False),
    Column("event_id_lo", "uint64", "lower half", nullable=False),
    Column("record_type", "code", "kind of CDR", RecordType),
    Column("service", "code", "what was used", Service),
    Column("event_time_us", "time", "start of the usage"),
    Column("quantity", "int64", "what the container counts", nullable=False),
    Column("matched_quantity", "int64", "what of it was charged online", nullable=False),
    Column("matched_event_hi", "uint64", "the event that was charged instead", nullable=False),
    Column("matched_event_lo", "uint64", "lower half", nullable=False),
))

# Files of CDRs of our own, and the online sessions whose next record is not written yet: their reports since the last.
CDR_FILE = ColumnSet("cdr_file", 1, (
    Column("file_name", "label", "its name", nullable=False),
    Column("file_sequence", "int64", "its sequence number", nullable=False),
    Column("record_count", "int64", "records in it", nullable=False),
    Column("file_octets", "int64", "octets of it", nullable=False),
    Column("closure_reason", "int16", "why it was closed (TS 32.297 6.1.1)", nullable=False),
    Column("journal_position", "int64", "it has what was charged online before this position", nullable=False),
))
CDR_SESSION = ColumnSet("cdr_session", 1, (
    *GRANT.columns,
    Column("opened_us", "time", "when its next record opens", nullable=False),
    Column("partials", "int64", "records that it has already", nullable=False),
))
