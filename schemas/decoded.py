"""What a decoder writes: one row per usage container, as the network meant it, nothing resolved yet.

Numbers are packed digits (`schemas.digits`). Text that is no number (APN, session identifiers, SIP URIs) is a
reference into the buffer that was decoded: `offset << 16 | length`.
"""

from schemas.codes import Direction, NumberType, Reason, RecordType, Service
from schemas.columns import Column, ColumnSet

DECODED = ColumnSet("decoded", 1, (
    Column("status", "code", "OK, or why this record cannot be read", Reason, nullable=False),
    Column("status_offset", "int64", "where in the file reading failed"),
    Column("record_offset", "int64", "first byte of the record in its file, framing included", nullable=False),
    Column("record_length", "int64", "octets of the record, framing included", nullable=False),
    Column("container_index", "int16", "position of the container in its record, from 0", nullable=False),
    Column("container_count", "int16", "containers of the record, at least 1", nullable=False),
    Column("record_type", "code", "kind of CDR", RecordType),
    Column("service", "code", "what was used", Service),
    Column("direction", "code", "role of the served party", Direction),
    Column("start_time_us", "time", "start of the usage in this container"),
    Column("opening_time_us", "time", "record opening time of the partial"),
    Column("session_start_us", "time", "start of the whole session, where the record says"),
    Column("duration_s", "int64", "seconds of use"),
    Column("uplink_octets", "int64", "octets from the subscriber"),
    Column("downlink_octets", "int64", "octets to the subscriber"),
    Column("message_count", "int64", "messages or segments"),
    Column("served_imsi", "int64", "packed digits"),
    Column("served_imei", "int64", "packed digits, at most 15"),
    Column("served_number", "int64", "packed digits, or a text reference"),
    Column("served_number_type", "code", "how it was written", NumberType),
    Column("other_number", "int64", "called party of originating usage, calling party of terminating"),
    Column("other_number_type", "code", "how it was written", NumberType),
    Column("forwarded_number", "int64", "original called party of a forwarded call"),
    Column("forwarded_number_type", "code", "how it was written", NumberType),
    Column("served_address", "int64", "IPv4 address as a number, or a text reference if `served_address_text`"),
    Column("served_address_text", "bool", "served_address is a text reference (IPv6)"),
    Column("gateway_address", "int64", "IPv4 address of the gateway that assigned the charging id"),
    Column("charging_id", "int64", "charging identifier, with the gateway address unique for a while"),
    Column("session_text", "int64", "text reference: ICID, charging session identifier, Acct-Session-Id"),
    Column("rating_group", "int64", "rating group of the container"),
    Column("service_identifier", "int64", "service identifier of the container"),
    Column("partial_sequence", "int64", "record sequence number within the session"),
    Column("local_sequence", "int64", "record sequence number of the node"),
    Column("cause_for_closing", "int16", "cause for record closing (see CAUSE_FOR_CLOSING)"),
    Column("node_role", "int16", "role of the node in an IMS session: 0 originating, 1 terminating"),
    Column("serving_plmn", "int32", "MCC * 1000 + MNC of the serving network"),
    Column("rat_type", "int16", "radio access technology (see RAT_TYPE)"),
    Column("apn_text", "int64", "text reference: APN network identifier or DNN"),
    Column("answered", "bool", "false for attempts that were never answered"),
    # Since the full tariff model. No part of the content by which copies are known, which is older than they are.
    Column("segments", "int64", "segments of the messages, where the record counts them"),
    Column("slice_type", "int64", "SST of the network slice (S-NSSAI, TS 23.003)"),
    Column("slice_differentiator", "int64", "SD of the network slice; FFFFFF stands for none"),
    Column("category_text", "int64", "text reference: what the network calls this usage"),
))
