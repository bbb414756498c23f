"""What the parser writes and what the encoder reads.

Text is a reference, `offset << 16 | length`, into the buffer that was parsed or the texts that travel with answers.
Numbers are packed digits (`schemas.digits`). ABSENT (-1) is what a message does not say; amounts of money may be any
number, and are there when the mask beside them says MONEY.
"""

from enum import IntEnum

from schemas.columns import Column, ColumnSet


class RequestType(IntEnum):
    """CC-Request-Type (RFC 8506 8.3); of Sy, SL-Request-Type plus one."""

    NONE = 0
    INITIAL = 1
    UPDATE = 2
    TERMINATION = 3
    EVENT = 4


class Context(IntEnum):
    """Which specification a Service-Context-Id names: the number before @ (TS 32.299 7.1.12)."""

    OTHER = 0
    PACKET = 1   # 32251, 32255
    IMS = 2      # 32260
    SMS = 3      # 32274
    MMS = 4      # 32270
    EVENT = 5    # 32299
    MMTEL = 6    # 32275
    VOICE = 7    # 32276, 32250


class UnitKind(IntEnum):
    """What a row of units came from."""

    SERVICE = 0   # Multiple-Services-Credit-Control
    COMMAND = 1   # units of the command itself, for one service (RFC 8506 8.17 to 8.19)
    COUNTER = 2   # a Policy-Counter-Identifier of Sy


# Bits of the masks `requested`, `used` and `granted`. Absent is 0, an empty block is BLOCK alone.
BLOCK, TIME, TOTAL, INPUT, OUTPUT, UNITS, MONEY = (1 << i for i in range(7))

MESSAGE = ColumnSet("diameter_message", 1, (
    Column("result_code", "int32", "0, or the error with which this message is answered", nullable=False),
    Column("failed_avp_code", "int64", "AVP that the error is about"),
    Column("failed_avp_vendor", "int64", "its vendor, 0 for none"),
    Column("failed_avp", "int64", "reference to the AVP with its header where it is sound"),
    Column("failed_avp_zeros", "int64", "octets of zeros that stand for its payload where it is not"),
    Column("segment", "int32", "row of the segment it was read from", nullable=False),
    Column("offset", "int64", "first octet in the buffer", nullable=False),
    Column("length", "int64", "octets of the message", nullable=False),
    Column("avp_count", "int64", "AVPs that were walked, groups that are read and what is in them", nullable=False),
    Column("first_unit", "int64", "its first row of units", nullable=False),
    Column("unit_count", "int64", "its rows of units", nullable=False),
    Column("command", "int32", "command code", nullable=False),
    Column("flags", "int16", "command flags: 128 request, 64 proxiable, 32 error, 16 potentially repeated",
           nullable=False),
    Column("application", "int64", "application id", nullable=False),
    Column("hop_by_hop", "int64", "hop-by-hop identifier", nullable=False),
    Column("end_to_end", "int64", "end-to-end identifier", nullable=False),
    Column("session_text", "int64", "Session-Id"),
    Column("session_hi", "int64", "128-bit key of Session-Id"),
    Column("session_lo", "int64", "its lower half"),
    Column("origin_host_text", "int64", "Origin-Host"),
    Column("origin_realm_text", "int64", "Origin-Realm"),
    Column("destination_host_text", "int64", "Destination-Host"),
    Column("destination_realm_text", "int64", "Destination-Realm"),
    Column("auth_application", "int64", "Auth-Application-Id, also within Vendor-Specific-Application-Id"),
    Column("origin_state_id", "int64", "Origin-State-Id"),
    Column("answer_code", "int64", "Result-Code or Experimental-Result-Code of an answer"),
    Column("proxy_info", "int64", "offset of the first Proxy-Info, which the answer repeats"),
    Column("request_type", "int16", "CC-Request-Type; SL-Request-Type plus one", RequestType),
    Column("request_number", "int64", "CC-Request-Number"),
    Column("sub_session_id", "int64", "CC-Sub-Session-Id"),
    Column("requested_action", "int16", "0 direct debiting, 1 refund, 2 check balance, 3 price enquiry"),
    Column("event_time_us", "time", "Event-Timestamp"),
    Column("service_context_text", "int64", "Service-Context-Id"),
    Column("service_context", "code", "what it names", Context),
    Column("multiple_services", "int16", "Multiple-Services-Indicator"),
    Column("termination_cause", "int64", "Termination-Cause"),
    Column("service_identifier", "int64", "Service-Identifier of the command"),
    Column("correlation_text", "int64", "CC-Correlation-Id"),
    Column("user_name_text", "int64", "User-Name"),
    Column("aoc_request_type", "int16", "AoC-Request-Type"),
    Column("e164", "int64", "Subscription-Id of type E.164, packed digits"),
    Column("imsi", "int64", "Subscription-Id of type IMSI, packed digits"),
    Column("sip_uri_text", "int64", "Subscription-Id of type SIP URI"),
    Column("sip_number", "int64", "number of that URI's user part, packed digits"),
    Column("nai_text", "int64", "Subscription-Id of type NAI"),
    Column("private_text", "int64", "Subscription-Id of type private"),
    Column("equipment_type", "int16", "User-Equipment-Info-Type: 0 IMEISV"),
    Column("equipment_text", "int64", "User-Equipment-Info-Value"),
    Column("charging_id", "int64", "3GPP-Charging-Id"),
    Column("pdn_charging_id", "int64", "PDN-Connection-Charging-ID"),
    Column("pdn_address", "int64", "PDP-Address as `schemas.addresses` has it"),
    Column("pdn_address_text", "int64", "its octets"),
    Column("apn_text", "int64", "Called-Station-Id"),
    Column("gateway_address", "int64", "GGSN-Address"),
    Column("gateway_address_text", "int64", "its octets"),
    Column("sgsn_address", "int64", "SGSN-Address"),
    Column("sgsn_address_text", "int64", "its octets"),
    Column("serving_plmn", "int32", "3GPP-SGSN-MCC-MNC as MCC * 1000 + MNC"),
    Column("rat_type", "int16", "3GPP-RAT-Type"),
    Column("location_text", "int64", "3GPP-User-Location-Info"),
    Column("zone_quarters", "int16", "3GPP-MS-TimeZone: quarters of an hour east of UTC (no zone is at -1)"),
    Column("daylight", "int16", "its hours of daylight saving"),
    Column("characteristics_text", "int64", "3GPP-Charging-Characteristics"),
    Column("icid_text", "int64", "IMS-Charging-Identifier"),
    Column("icid_hi", "int64", "its 128-bit key"),
    Column("icid_lo", "int64", "its lower half"),
    Column("node_role", "int16", "Role-Of-Node: 0 originating, 1 terminating"),
    Column("node_functionality", "int16", "Node-Functionality"),
    Column("sip_method_text", "int64", "SIP-Method"),
    Column("sip_event_text", "int64", "Event of Event-Type"),
    Column("user_session_text", "int64", "User-Session-Id: the Call-ID"),
    Column("calling_number", "int64", "Calling-Party-Address, the first that holds a number, packed digits"),
    Column("calling_text", "int64", "that address, or else the first"),
    Column("called_number", "int64", "Called-Party-Address, packed digits"),
    Column("called_text", "int64", "Called-Party-Address"),
    Column("originator_number", "int64", "originator of a message, packed digits"),
    Column("originator_text", "int64", "originator of a message"),
    Column("recipient_number", "int64", "first recipient of a message, packed digits"),
    Column("recipient_text", "int64", "first recipient of a message"),
    Column("recipient_count", "int64", "recipients of a message"),
    Column("message_count", "int64", "Number-Of-Messages-Sent"),
    Column("sms_node", "int16", "SMS-Node"),
    Column("sms_type", "int16", "SM-Message-Type"),
))


def _unit_columns(prefix: str, what: str) -> tuple[Column, ...]:
    return (
        Column(prefix, "int16", f"{what}: mask of what it holds, 0 absent, BLOCK alone empty", nullable=False),
        Column(f"{prefix}_time_s", "int64", f"CC-Time of {what}"),
        Column(f"{prefix}_total_octets", "int64", f"CC-Total-Octets of {what}"),
        Column(f"{prefix}_input_octets", "int64", f"CC-Input-Octets of {what}"),
        Column(f"{prefix}_output_octets", "int64", f"CC-Output-Octets of {what}"),
        Column(f"{prefix}_service_units", "int64", f"CC-Service-Specific-Units of {what}"),
        Column(f"{prefix}_money_digits", "int64", f"Value-Digits of CC-Money of {what}", nullable=False),
        Column(f"{prefix}_money_exponent", "int64", "its Exponent, 0 where it has none", nullable=False),
        Column(f"{prefix}_currency", "int64", "its Currency-Code (ISO 4217, numeric)"),
    )


UNIT = ColumnSet("diameter_unit", 1, (
    Column("message_row", "int64", "row of its message", nullable=False),
    Column("kind", "code", "what it came from", UnitKind, nullable=False),
    Column("group_index", "int32", "which Multiple-Services-Credit-Control of the message, from 0", nullable=False),
    Column("used_index", "int32", "which Used-Service-Unit of that, from 0: Requested-Service-Unit is in row 0",
           nullable=False),
    Column("group_text", "int64", "reference to the Multiple-Services-Credit-Control with its header"),
    Column("rating_group", "int64", "Rating-Group"),
    Column("service_identifier", "int64", "first Service-Identifier"),
    Column("service_identifier_count", "int32", "Service-Identifiers", nullable=False),
    *_unit_columns("requested", "Requested-Service-Unit"),
    *_unit_columns("used", "Used-Service-Unit"),
    Column("tariff_change_usage", "int16", "Tariff-Change-Usage of Used-Service-Unit: 0 before, 1 after, 2 unknown"),
    Column("used_reason", "int16", "Reporting-Reason of Used-Service-Unit"),
    Column("reporting_reason", "int16", "Reporting-Reason of Multiple-Services-Credit-Control"),
    Column("used_time_us", "time", "first Event-Charging-TimeStamp of Used-Service-Unit"),
    Column("counter_text", "int64", "Policy-Counter-Identifier"),
    Column("counter_hi", "int64", "its 128-bit key"),
    Column("counter_lo", "int64", "its lower half"),
))


def _granted_columns() -> tuple[Column, ...]:
    """Granted-Service-Unit and what goes with it; the same in the command and in its services."""
    return (
        *_unit_columns("granted", "Granted-Service-Unit"),
        Column("tariff_change_us", "time", "Tariff-Time-Change"),
        Column("validity_s", "int64", "Validity-Time"),
        Column("final_action", "int16", "Final-Unit-Action: 0 terminate, 1 redirect, 2 restrict access"),
        Column("redirect_type", "int16", "Redirect-Address-Type: 0 IPv4, 1 IPv6, 2 URL, 3 SIP URI"),
        Column("redirect_text", "int64", "Redirect-Server-Address"),
        Column("restriction_text", "int64", "Restriction-Filter-Rule"),
        Column("filter_text", "int64", "Filter-Id"),
    )


ANSWER = ColumnSet("diameter_answer", 1, (
    Column("result_code", "int32", "Result-Code; Experimental-Result where it is 3GPP's own", nullable=False),
    *_granted_columns(),
    Column("session_failover", "int16", "CC-Session-Failover: 0 not supported, 1 supported"),
    Column("failure_handling", "int16",
           "Credit-Control-Failure-Handling: 0 terminate, 1 continue, 2 retry and terminate"),
    Column("debiting_failure_handling", "int16", "Direct-Debiting-Failure-Handling: 0 terminate or buffer, 1 continue"),
    Column("balance_result", "int16", "Check-Balance-Result: 0 enough credit, 1 no credit"),
    Column("cost_digits", "int64", "Value-Digits of Cost-Information", nullable=False),
    Column("cost_exponent", "int64", "its Exponent", nullable=False),
    Column("cost_currency", "int64", "its Currency-Code; ABSENT: no Cost-Information"),
    Column("cost_unit_text", "int64", "its Cost-Unit"),
    Column("low_balance", "int16", "Low-Balance-Indication: 0 no, 1 yes"),
    Column("balance_digits", "int64", "Value-Digits of Remaining-Balance", nullable=False),
    Column("balance_exponent", "int64", "its Exponent", nullable=False),
    Column("balance_currency", "int64", "its Currency-Code; ABSENT: no Remaining-Balance"),
    Column("error_text", "int64", "Error-Message"),
    Column("failed_avp_code", "int64", "AVP to show in Failed-AVP; ABSENT: the message's own, if any"),
    Column("failed_avp_vendor", "int64", "its vendor"),
    Column("failed_avp", "int64", "reference into the request's buffer to the AVP with its header"),
    Column("failed_avp_zeros", "int64", "octets of zeros instead, where there is no reference"),
))

GRANT = ColumnSet("diameter_grant", 1, (
    Column("message_row", "int64", "row of the answer; rows come in that order", nullable=False),
    Column("unit_row", "int64", "row of the units that it answers, of which it repeats the Service-Identifiers"),
    Column("rating_group", "int64", "Rating-Group; ABSENT: none"),
    Column("service_identifier", "int64", "Service-Identifier where no unit_row is given"),
    Column("result_code", "int32", "Result-Code of the service"),
    *_granted_columns(),
    Column("pool", "int64", "G-S-U-Pool-Identifier"),
    Column("pool_unit_type", "int16", "CC-Unit-Type of G-S-U-Pool-Reference"),
    Column("pool_digits", "int64", "Value-Digits of its Unit-Value", nullable=False),
    Column("pool_exponent", "int64", "Exponent of its Unit-Value", nullable=False),
    Column("time_threshold_s", "int64", "Time-Quota-Threshold"),
    Column("volume_threshold_octets", "int64", "Volume-Quota-Threshold"),
    Column("unit_threshold", "int64", "Unit-Quota-Threshold"),
    Column("holding_time_s", "int64", "Quota-Holding-Time"),
    Column("consumption_time_s", "int64", "Quota-Consumption-Time"),
))

REPORT = ColumnSet("diameter_report", 1, (
    Column("message_row", "int64", "row of the answer or request; rows come in that order", nullable=False),
    Column("counter_text", "int64", "Policy-Counter-Identifier", nullable=False),
    Column("status_text", "int64", "Policy-Counter-Status", nullable=False),
    Column("pending_status_text", "int64", "Policy-Counter-Status to come"),
    Column("pending_time_us", "time", "Pending-Policy-Counter-Change-Time"),
))

REQUEST = ColumnSet("diameter_request", 1, (
    Column("command", "int32", "258 RAR, 274 ASR, 8388636 SNR", nullable=False),
    Column("application", "int64", "application id", nullable=False),
    Column("hop_by_hop", "int64", "hop-by-hop identifier", nullable=False),
    Column("end_to_end", "int64", "end-to-end identifier", nullable=False),
    Column("session_text", "int64", "Session-Id", nullable=False),
    Column("destination_host_text", "int64", "Destination-Host"),
    Column("destination_realm_text", "int64", "Destination-Realm", nullable=False),
    Column("reauth_type", "int16", "Re-Auth-Request-Type of RAR: 0 authorize only"),
    Column("rating_group", "int64", "Rating-Group of RAR; ABSENT: all services"),
    Column("service_identifier", "int64", "Service-Identifier of RAR"),
    Column("pool", "int64", "G-S-U-Pool-Identifier of RAR"),
    Column("notification_type", "int64", "SN-Request-Type of SNR: 1 a report, 2 the subscription ends; ABSENT is 1"),
))
