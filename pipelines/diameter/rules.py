"""Which AVPs are read, where, and into which column: a table that the kernel walks by.

An AVP that is in `avps.csv` but not here is known and passed over. One that is nowhere is refused with 5001 where its
sender insists (M bit), unless the operator says otherwise.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.diameter import operations as o
from pipelines.diameter.columns import BLOCK, INPUT, MESSAGE, MONEY, OUTPUT, TIME, TOTAL, UNIT, UNITS
from pipelines.diameter.dictionary import CREDIT_CONTROL, SY, TGPP, named, table
from pipelines.diameter.results import Command
from schemas.columns import I64

_ANY = (0, 0x7FFFFFFFFFFFFFFF)


def _rule(group: int, name: str, op: int, target: int = o.T_MESSAGE, column: str | int = 0, *,
          vendor: int | None = None, octets: int | None = None, bounds: tuple[int, int] = _ANY, seen: int = 0,
          mask: int = 0, mask_column: str = "", repeats: bool = False, enter: int = 0,
          ) -> tuple[int, int, int, list[int]]:
    avp = named(name, vendor)
    columns = UNIT if target == o.T_UNIT else MESSAGE
    at = column if isinstance(column, int) else columns.index(column)
    row = [0] * o.RULE_FIELDS
    for field, value in ((o.F_OP, op), (o.F_TARGET, target), (o.F_COLUMN, at),
                         (o.F_OCTETS, avp.octets if octets is None else octets), (o.F_LEAST, bounds[0]),
                         (o.F_MOST, bounds[1]), (o.F_SEEN, seen), (o.F_MASK, mask),
                         (o.F_MASK_COLUMN, UNIT.index(mask_column) if mask_column else -1),
                         (o.F_REPEATS, int(repeats)), (o.F_GROUP, enter), (o.F_CODE, avp.code),
                         (o.F_VENDOR, avp.vendor)):
        row[field] = value
    return group, avp.vendor, avp.code, row


# What requests need: one bit each, in the order in which a missing one is named.
NEEDED = ("Session-Id", "Origin-Host", "Origin-Realm", "Destination-Realm", "Auth-Application-Id", "Service-Context-Id",
          "CC-Request-Type", "CC-Request-Number", "SL-Request-Type", "Requested-Action", "Termination-Cause")
_BIT = {name: 1 << i for i, name in enumerate(NEEDED)}
ACTION_BIT = _BIT["Requested-Action"]


def _bits(*names: str) -> int:
    return sum(_BIT[n] for n in names)


_SESSION = _bits("Session-Id", "Origin-Host", "Origin-Realm", "Destination-Realm", "Auth-Application-Id")
# code, application, whether any application will do, what must be there
COMMANDS = (
    (Command.CREDIT_CONTROL, CREDIT_CONTROL, 0,
     _SESSION | _bits("Service-Context-Id", "CC-Request-Type", "CC-Request-Number")),
    (Command.SPENDING_LIMIT, SY, 0, _SESSION | _bits("SL-Request-Type")),
    (Command.SESSION_TERMINATION, SY, 0, _SESSION | _bits("Termination-Cause")),
    (Command.CAPABILITIES_EXCHANGE, 0, 1, _bits("Origin-Host", "Origin-Realm")),
    (Command.DEVICE_WATCHDOG, 0, 1, _bits("Origin-Host", "Origin-Realm")),
    (Command.DISCONNECT_PEER, 0, 1, _bits("Origin-Host", "Origin-Realm")),
)


def _unit_rules(group: int, prefix: str) -> list[tuple[int, int, int, list[int]]]:
    def unit(name: str, column: str, mask: int) -> tuple[int, int, int, list[int]]:
        return _rule(group, name, o.O_UNSIGNED, o.T_UNIT, f"{prefix}_{column}", mask=mask, mask_column=prefix)

    return [unit("CC-Time", "time_s", TIME), unit("CC-Total-Octets", "total_octets", TOTAL),
            unit("CC-Input-Octets", "input_octets", INPUT), unit("CC-Output-Octets", "output_octets", OUTPUT),
            unit("CC-Service-Specific-Units", "service_units", UNITS),
            _rule(group, "CC-Money", o.O_ENTER, o.T_UNIT, mask=MONEY, mask_column=prefix, enter=o.G_MONEY)]


def _message(group: int, name: str, column: str, op: int = o.O_UNSIGNED,
             bounds: tuple[int, int] = _ANY, seen: int = 0, octets: int | None = None, repeats: bool = False,
             ) -> tuple[int, int, int, list[int]]:
    return _rule(group, name, op, column=column, bounds=bounds, seen=seen, octets=octets, repeats=repeats)


def _enter(group: int, name: str, enter: int, mask: int = 0, mask_column: str = "",
           target: int = o.T_MESSAGE) -> tuple[int, int, int, list[int]]:
    return _rule(group, name, o.O_ENTER, target, mask=mask, mask_column=mask_column, enter=enter)


def _register(group: int, name: str, op: int, register: int, seen: int,
              bounds: tuple[int, int] = _ANY) -> tuple[int, int, int, list[int]]:
    return _rule(group, name, op, o.T_REGISTER, register, seen=seen, bounds=bounds)


def _all() -> list[tuple[int, int, int, list[int]]]:
    top, text, party = o.G_COMMAND, o.O_TEXT, o.O_PARTY
    rules = [
        _message(top, "Session-Id", "session_text", o.O_KEYED, seen=_BIT["Session-Id"]),
        _message(top, "Origin-Host", "origin_host_text", text, seen=_BIT["Origin-Host"]),
        _message(top, "Origin-Realm", "origin_realm_text", text, seen=_BIT["Origin-Realm"]),
        _message(top, "Destination-Host", "destination_host_text", text),
        _message(top, "Destination-Realm", "destination_realm_text", text, seen=_BIT["Destination-Realm"]),
        _message(top, "Auth-Application-Id", "auth_application", seen=_BIT["Auth-Application-Id"], repeats=True),
        _enter(top, "Vendor-Specific-Application-Id", o.G_APPLICATION),
        _message(o.G_APPLICATION, "Auth-Application-Id", "auth_application", seen=_BIT["Auth-Application-Id"],
                 repeats=True),
        _message(top, "Origin-State-Id", "origin_state_id"),
        _message(top, "Result-Code", "answer_code", o.O_FORBIDDEN),
        _enter(top, "Experimental-Result", o.G_RESULT),
        _message(o.G_RESULT, "Experimental-Result-Code", "answer_code"),
        _message(top, "Proxy-Info", "proxy_info", o.O_PROXY, repeats=True),
        _message(top, "CC-Request-Type", "request_type", bounds=(1, 4), seen=_BIT["CC-Request-Type"]),
        _message(top, "SL-Request-Type", "request_type", bounds=(0, 1), seen=_BIT["SL-Request-Type"]),
        _message(top, "CC-Request-Number", "request_number", seen=_BIT["CC-Request-Number"]),
        _message(top, "CC-Sub-Session-Id", "sub_session_id"),
        _message(top, "Requested-Action", "requested_action", bounds=(0, 3), seen=_BIT["Requested-Action"]),
        _message(top, "Event-Timestamp", "event_time_us", o.O_TIME),
        _message(top, "Service-Context-Id", "service_context_text", o.O_CONTEXT, seen=_BIT["Service-Context-Id"]),
        _message(top, "Multiple-Services-Indicator", "multiple_services", bounds=(0, 1)),
        _message(top, "Termination-Cause", "termination_cause", seen=_BIT["Termination-Cause"]),
        _message(top, "Service-Identifier", "service_identifier"),
        _message(top, "CC-Correlation-Id", "correlation_text", text),
        _message(top, "User-Name", "user_name_text", text),
        _message(top, "AoC-Request-Type", "aoc_request_type"),
        _rule(top, "Policy-Counter-Identifier", o.O_COUNTER, repeats=True),
        _enter(top, "Subscription-Id", o.G_SUBSCRIPTION),
        _enter(top, "User-Equipment-Info", o.G_EQUIPMENT),
        _enter(top, "Service-Information", o.G_INFORMATION),
        _enter(top, "Multiple-Services-Credit-Control", o.G_SERVICE),
        _enter(top, "Requested-Service-Unit", o.G_REQUESTED, BLOCK, "requested", o.T_UNIT),
        _enter(top, "Used-Service-Unit", o.G_USED, BLOCK, "used", o.T_UNIT),

        _enter(o.G_SERVICE, "Requested-Service-Unit", o.G_REQUESTED, BLOCK, "requested", o.T_UNIT),
        _enter(o.G_SERVICE, "Used-Service-Unit", o.G_USED, BLOCK, "used", o.T_UNIT),
        _rule(o.G_SERVICE, "Rating-Group", o.O_UNSIGNED, o.T_UNIT, "rating_group"),
        _rule(o.G_SERVICE, "Service-Identifier", o.O_UNSIGNED, o.T_UNIT, "service_identifier", repeats=True),
        _rule(o.G_SERVICE, "Reporting-Reason", o.O_UNSIGNED, o.T_UNIT, "reporting_reason", bounds=(0, 9), repeats=True),
        *_unit_rules(o.G_REQUESTED, "requested"),
        *_unit_rules(o.G_USED, "used"),
        _rule(o.G_USED, "Tariff-Change-Usage", o.O_UNSIGNED, o.T_UNIT, "tariff_change_usage", bounds=(0, 2)),
        _rule(o.G_USED, "Reporting-Reason", o.O_UNSIGNED, o.T_UNIT, "used_reason", bounds=(0, 9)),
        _rule(o.G_USED, "Event-Charging-TimeStamp", o.O_TIME, o.T_UNIT, "used_time_us", repeats=True),
        _enter(o.G_MONEY, "Unit-Value", o.G_UNIT_VALUE),
        _register(o.G_MONEY, "Currency-Code", o.O_UNSIGNED, o.R_CURRENCY, o.SEEN_CURRENCY),
        _register(o.G_UNIT_VALUE, "Value-Digits", o.O_SIGNED, o.R_DIGITS, o.SEEN_DIGITS, (-(1 << 63), (1 << 63) - 1)),
        _register(o.G_UNIT_VALUE, "Exponent", o.O_SIGNED, o.R_EXPONENT, o.SEEN_VALUE, (-30, 30)),

        _register(o.G_SUBSCRIPTION, "Subscription-Id-Type", o.O_UNSIGNED, o.R_TYPE, o.SEEN_TYPE, (0, 4)),
        _register(o.G_SUBSCRIPTION, "Subscription-Id-Data", text, o.R_TEXT, o.SEEN_TEXT),
        _message(o.G_EQUIPMENT, "User-Equipment-Info-Type", "equipment_type"),
        _message(o.G_EQUIPMENT, "User-Equipment-Info-Value", "equipment_text", text),

        _enter(o.G_INFORMATION, "Subscription-Id", o.G_SUBSCRIPTION),
        _enter(o.G_INFORMATION, "PS-Information", o.G_PACKET),
        _enter(o.G_INFORMATION, "IMS-Information", o.G_IMS),
        _enter(o.G_INFORMATION, "SMS-Information", o.G_SMS),
        _enter(o.G_INFORMATION, "MMS-Information", o.G_MMS),
        _message(o.G_PACKET, "3GPP-Charging-Id", "charging_id", octets=4),
        _message(o.G_PACKET, "PDN-Connection-Charging-ID", "pdn_charging_id"),
        _message(o.G_PACKET, "PDP-Address", "pdn_address", o.O_ADDRESS, repeats=True),
        _message(o.G_PACKET, "Called-Station-Id", "apn_text", text),
        _message(o.G_PACKET, "GGSN-Address", "gateway_address", o.O_ADDRESS, repeats=True),
        _message(o.G_PACKET, "SGSN-Address", "sgsn_address", o.O_ADDRESS, repeats=True),
        _message(o.G_PACKET, "3GPP-SGSN-MCC-MNC", "serving_plmn", o.O_PLMN),
        _message(o.G_PACKET, "3GPP-RAT-Type", "rat_type", o.O_OCTET),
        _message(o.G_PACKET, "3GPP-User-Location-Info", "location_text", text),
        _message(o.G_PACKET, "3GPP-MS-TimeZone", "zone_quarters", o.O_ZONE, octets=2),
        _message(o.G_PACKET, "3GPP-Charging-Characteristics", "characteristics_text", text),
        _enter(o.G_PACKET, "User-Equipment-Info", o.G_EQUIPMENT),

        _message(o.G_IMS, "IMS-Charging-Identifier", "icid_text", o.O_KEYED),
        _message(o.G_IMS, "Role-Of-Node", "node_role"),
        _message(o.G_IMS, "Node-Functionality", "node_functionality"),
        _message(o.G_IMS, "User-Session-Id", "user_session_text", text),
        _message(o.G_IMS, "Calling-Party-Address", "calling_number", party, repeats=True),
        _message(o.G_IMS, "Called-Party-Address", "called_number", party),
        _enter(o.G_IMS, "Event-Type", o.G_EVENT_TYPE),
        _rule(o.G_EVENT_TYPE, "SIP-Method", text, column="sip_method_text", vendor=TGPP),
        _message(o.G_EVENT_TYPE, "Event", "sip_event_text", text),

        _message(o.G_SMS, "SMS-Node", "sms_node"),
        _message(o.G_SMS, "SM-Message-Type", "sms_type"),
        _message(o.G_SMS, "Number-Of-Messages-Sent", "message_count"),
        _enter(o.G_SMS, "Recipient-Info", o.G_RECIPIENT_INFO),
        _enter(o.G_SMS, "Originator-Received-Address", o.G_ORIGINATOR),
        _enter(o.G_RECIPIENT_INFO, "Recipient-Address", o.G_RECIPIENT),
        _enter(o.G_MMS, "Recipient-Address", o.G_RECIPIENT),
        _enter(o.G_MMS, "Originator-Address", o.G_ORIGINATOR),
    ]
    for group in (o.G_RECIPIENT, o.G_ORIGINATOR):
        rules += [_register(group, "Address-Type", o.O_UNSIGNED, o.R_TYPE, o.SEEN_TYPE),
                  _register(group, "Address-Data", text, o.R_TEXT, o.SEEN_TEXT)]
    return rules


class Tables(NamedTuple):
    """What the kernel walks by. Numbers of AVPs: -1 not in the table, 0 passed over, else a column of `rule_of`."""

    ietf: npt.NDArray[np.int16]
    tgpp: npt.NDArray[np.int16]
    rule_of: npt.NDArray[np.int16]  # group, number -> row of `rules`, 0 for none
    rules: I64
    commands: I64
    needed: I64  # AVP behind each bit: code, vendor, octets
    others: I64  # AVPs of other vendors that are passed over: vendor << 32 | code, ascending


@cache
def tables() -> Tables:
    """The rules as arrays."""
    numbers = {0: np.full(o.CODES_IETF, -1, np.int16), TGPP: np.full(o.CODES_TGPP, -1, np.int16)}
    for vendor, code in table():
        if vendor in numbers:
            numbers[vendor][code] = 0
    made = _all()
    read = {(vendor, code): i + 1 for i, (vendor, code) in enumerate(dict.fromkeys((r[1], r[2]) for r in made))}
    for (vendor, code), number in read.items():
        numbers[vendor][code] = number
    rule_of = np.zeros((o.GROUPS, len(read) + 1), np.int16)
    rules = np.zeros((len(made) + 1, o.RULE_FIELDS), np.int64)
    for i, (group, vendor, code, row) in enumerate(made, 1):
        rules[i] = row
        rule_of[group, read[vendor, code]] = i
    commands = np.array([[int(v) for v in c] for c in COMMANDS], np.int64)
    needed = np.array([(named(n).code, named(n).vendor, named(n).octets) for n in NEEDED], np.int64)
    others = np.array(sorted(vendor << 32 | code for vendor, code in table() if vendor not in numbers), np.int64)
    return Tables(numbers[0], numbers[TGPP], rule_of, rules, commands, needed, others)
