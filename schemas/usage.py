"""The usage event: one normalised fact, whatever network wrote it. Tokens, never numbers.

Row order in a block is collection order, an event that was merged from partials standing where it was released. Its
origin and event id are those of its first partial in collection order; MERGED names the others.
"""

from schemas.codes import (
    Direction,
    DuplicateKind,
    FilterReason,
    NumberClass,
    NumberType,
    Reason,
    RecordType,
    Service,
    Stage,
    SuspenseAction,
    Unit,
)
from schemas.columns import Column, ColumnSet

ORIGIN = (
    Column("source", "label", "name of the network element", nullable=False),
    Column("file_id", "int64", "place of the file in collection order, from 1", nullable=False),
    Column("record_offset", "int64", "first byte of the record in its file", nullable=False),
    Column("record_length", "int64", "octets of the record in its file", nullable=False),
    Column("container_index", "int16", "position of the container in its record", nullable=False),
)

EVENT = (
    Column("event_id_hi", "uint64", "upper half of the event id", nullable=False),
    Column("event_id_lo", "uint64", "lower half of the event id", nullable=False),
    Column("record_type", "code", "kind of CDR", RecordType),
    Column("service", "code", "what was used", Service),
    Column("direction", "code", "role of the served party", Direction),
    Column("event_time_us", "time", "start of the usage"),
    Column("end_time_us", "time", "end of the usage"),
    Column("duration_s", "int64", "seconds of use"),
    Column("uplink_octets", "int64", "octets from the subscriber"),
    Column("downlink_octets", "int64", "octets to the subscriber"),
    Column("quantity", "int64", "what is priced, in `unit`: seconds, octets or messages"),
    Column("unit", "code", "unit of quantity", Unit),
    Column("msisdn_token", "int64", "token of the served MSISDN"),
    Column("imsi_token", "int64", "token of the served IMSI"),
    Column("imei_token", "int64", "token of the device"),
    Column("address_token", "int64", "token of the served IP address"),
    Column("other_token", "int64", "token of the other party"),
    Column("other_prefix", "int64", "other party, packed digits, without its last digits: no personal number"),
    Column("other_number_type", "code", "how the other party was written", NumberType),
    Column("other_class", "code", "what the number plan says of the other party", NumberClass),
    Column("other_network", "label", "network that holds the other party's number: porting beats prefix"),
    Column("forwarded_token", "int64", "token of the original called party"),
    Column("gateway_address", "int64", "IPv4 address of the gateway, as a number"),
    Column("charging_id", "int64", "charging identifier"),
    Column("session_hi", "uint64", "upper half of the session key: what partials of one session share", nullable=False),
    Column("session_lo", "uint64", "lower half of the session key", nullable=False),
    Column("rating_group", "int64", "rating group"),
    Column("service_identifier", "int64", "service identifier"),
    Column("partial_sequence", "int64", "record sequence number within the session; of merged ones, the last"),
    Column("local_sequence", "int64", "record sequence number of the node"),
    Column("cause_for_closing", "int16", "cause for record closing; of merged ones, the last"),
    Column("serving_plmn", "int32", "MCC * 1000 + MNC of the serving network"),
    Column("roaming", "bool", "served outside the home network", nullable=False),
    Column("rat_type", "int16", "radio access technology"),
    Column("apn", "label", "APN or DNN"),
    Column("merged_count", "int32", "containers that this event was merged from, 1 for a whole one", nullable=False),
    Column("incomplete", "bool", "released by time-out with a partial missing", nullable=False),
    Column("account_id", "int64", "who is charged"),
    Column("service_id", "int64", "which service was used"),
    Column("group_id", "int64", "charging group: who shares balances"),
    Column("lane", "int16", "unit of order and state, from the charging group"),
    # Since the full tariff model: files written before lack them.
    Column("category", "label", "what the network or the service table calls this usage"),
    Column("calling_prefix", "int64", "calling party, packed digits, no longer than prices distinguish"),
    Column("snssai", "int64", "network slice: SST << 32 | (SD + 1, 0 for none)"),
    Column("segments", "int64", "segments of the messages; absent: one each"),
)

USAGE = ColumnSet("usage", 1, (*ORIGIN, *EVENT))

# The record's identity, as its format's layout declares it, and a hash of all else it says.
# Held beside the usage cells through mediation, written with held partials and duplicates.
KEY = ColumnSet("key", 1, (
    Column("key_0", "int64", "node", nullable=False),
    Column("key_1", "int64", "first field of the record key", nullable=False),
    Column("key_2", "int64", "second", nullable=False),
    Column("key_3", "int64", "third", nullable=False),
    Column("key_4", "int64", "fourth", nullable=False),
    Column("key_time_us", "int64", "time in the key: chooses the partition, and the horizon", nullable=False),
    Column("key_hi", "uint64", "upper half of the hash of the above", nullable=False),
    Column("key_lo", "uint64", "lower half", nullable=False),
    Column("content", "uint64", "hash of everything else in the record", nullable=False),
))

SUSPENSE = ColumnSet("suspense", 1, (
    *USAGE.columns,
    Column("stage", "code", "where it was set aside", Stage, nullable=False),
    Column("reason", "code", "why", Reason, nullable=False),
    Column("fault_offset", "int64", "where in the file reading failed"),
    Column("estimate_nanos", "int64", "value at risk, an estimate"),
))
# Suspended containers that are closed. The row in `suspense` stays: what is open is suspense less settled, row by row
# of the same origin, event, stage and reason (view suspense_open). No wall time: the commit has it.
SETTLED = ColumnSet("settled", 1, (
    *ORIGIN,
    Column("event_id_hi", "uint64", "upper half of the event id", nullable=False),
    Column("event_id_lo", "uint64", "lower half of the event id", nullable=False),
    Column("stage", "code", "where it had been set aside", Stage, nullable=False),
    Column("reason", "code", "why it had been set aside", Reason, nullable=False),
    Column("action", "code", "recycled or written off", SuspenseAction, nullable=False),
    Column("container_count", "int64", "containers that came in again: more than one where a record could not be read "
           "at all before; 0 when written off", nullable=False),
    Column("who", "label", "who closed it", nullable=False),
    Column("why", "label", "why", nullable=False),
))
DUPLICATE = ColumnSet("duplicate", 1, (
    *USAGE.columns,
    Column("kind", "code", "how it was recognised", DuplicateKind, nullable=False),
    Column("first_file_id", "int64", "file of the first copy"),
    Column("first_record_offset", "int64", "offset of the first copy"),
))
FILTERED = ColumnSet("filtered", 1, (
    *USAGE.columns,
    Column("reason", "code", "why it is not charged", FilterReason, nullable=False),
))
MATCHED = ColumnSet("matched", 1, (
    *USAGE.columns,
    Column("matched_event_hi", "uint64", "the event that was charged instead", nullable=False),
    Column("matched_event_lo", "uint64", "lower half", nullable=False),
))
# Containers that wait for the rest of their session (class "held"), and those that were merged into another event.
HELD = ColumnSet("held", 1, (*USAGE.columns,))
# What is known of a session whose partials are being merged or watched: one row per session, the newest counts.
OPEN_SESSION = ColumnSet("open_session", 1, (
    Column("stream", "label", "stream that brought it", nullable=False),
    Column("session_hi", "uint64", "upper half of the session key", nullable=False),
    Column("session_lo", "uint64", "lower half", nullable=False),
    Column("contiguous", "int64", "record sequence numbers 1 to this have been seen", nullable=False),
    Column("window", "uint64", "bit k: number contiguous + 1 + k has been seen", nullable=False),
    Column("flaws", "int8", "1: number 0 was seen; 2: numbers below the window were missed", nullable=False),
    Column("final_sequence", "int64", "number of the final partial; -1: none yet, -2: final without a number",
           nullable=False),
    Column("activity", "int64", "order of the last partial among all of the stream", nullable=False),
    Column("deadline_us", "int64", "record time at which it is released, or, once released, forgotten", nullable=False),
    Column("released", "bool", "later partials are late: events of their own", nullable=False),
    Column("uplink_total", "int64", "counters that report totals: the highest so far", nullable=False),
    Column("downlink_total", "int64", "octets to the subscriber", nullable=False),
    Column("duration_total", "int64", "seconds", nullable=False),
))
MERGED = ColumnSet("merged", 1, (
    *ORIGIN,
    Column("event_id_hi", "uint64", "the merged event", nullable=False),
    Column("event_id_lo", "uint64", "lower half", nullable=False),
    Column("partial_sequence", "int64", "record sequence number of this partial"),
    Column("quantity", "int64", "what this container brought"),
))
