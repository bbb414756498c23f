"""What a Credit-Control-Request says, told slowly from python-diameter's decoding of it: columns by name.

Text columns are octets here, not references. Shares nothing with the parser but the names of columns.
"""

import ipaddress
import re
from datetime import UTC
from typing import Any

from diameter.message import Message

from schemas import addresses
from schemas.digits import pack

TGPP = 10415
UNITS = {420: ("time_s", 2), 421: ("total_octets", 4), 412: ("input_octets", 8), 414: ("output_octets", 16),
         417: ("service_units", 32)}
TOP = {263: "session_text", 264: "origin_host_text", 296: "origin_realm_text", 293: "destination_host_text",
       283: "destination_realm_text", 258: "auth_application", 278: "origin_state_id", 416: "request_type",
       415: "request_number", 419: "sub_session_id", 436: "requested_action", 461: "service_context_text",
       455: "multiple_services", 295: "termination_cause", 439: "service_identifier", 411: "correlation_text",
       1: "user_name_text"}
CONTEXTS = {"32251": 1, "32255": 1, "32260": 2, "32274": 3, "32270": 4, "32299": 5, "32275": 6, "32276": 7, "32250": 7}
SUBSCRIPTIONS = {2: "sip_uri_text", 3: "nai_text", 4: "private_text"}


def octets(avp: Any) -> bytes:
    return bytes(avp.payload)


def number(text: bytes) -> int | None:
    """Digits of a number or of a URI."""
    plain = text.decode("latin1")
    if re.fullmatch(r"\+[0-9]{1,15}|[0-9*#]{1,15}", plain):
        return pack(plain.lstrip("+"))
    found = re.fullmatch(r"(?i:<?tel:)(\+?[0-9.()-]+)([;>].*)?", plain) or \
        re.fullmatch(r"<?(?i:sips?:)?(\+?[0-9.()-]+)(;[^@]*)?@.*", plain)
    digits = re.sub(r"[^0-9]", "", found[1]) if found else ""
    return pack(digits) if 0 < len(digits) <= 15 else None


def address(value: bytes) -> int:
    """Address of RFC 6733."""
    if value[:2] == b"\0\1" and len(value) == 6:
        return int(ipaddress.IPv4Address(value[2:]))
    raw = value[2:]
    high, low = (int.from_bytes(raw[i:i + 8], "big", signed=True) for i in (0, 8))
    return int(addresses.ipv6_value_nb.py_func(high, low)) if hasattr(addresses.ipv6_value_nb, "py_func") \
        else int(addresses.ipv6_value_nb(high, low))


def first(found: dict[str, Any], name: str, value: Any) -> None:
    found.setdefault(name, value)


def time_us(avp: Any) -> int:
    return int(avp.value.astimezone(UTC).timestamp()) * 1_000_000


def money(avp: Any) -> dict[str, int]:
    made = {"money_exponent": 0}
    for part in avp.value:
        if part.code == 425:
            made["currency"] = part.value
        for inner in part.value if part.code == 445 else ():
            made["money_digits" if inner.code == 447 else "money_exponent"] = inner.value
    return made


def block(avp: Any, prefix: str) -> dict[str, int]:
    """Requested- or Used-Service-Unit."""
    made, mask = {}, 1
    for part in avp.value:
        if part.code in UNITS:
            name, bit = UNITS[part.code]
            made[f"{prefix}_{name}"] = part.value
            mask |= bit
        elif part.code == 413:
            made |= {f"{prefix}_{k}": v for k, v in money(part).items()}
            mask |= 64
        elif part.code == 452:
            made["tariff_change_usage"] = part.value
        elif part.code == 872:
            made["used_reason"] = part.value
        elif part.code == 1258:
            made.setdefault("used_time_us", time_us(part))
    return made | {prefix: mask}


def party(found: dict[str, Any], name: str, value: bytes) -> None:
    if f"{name}_text" not in found or (f"{name}_number" not in found and number(value) is not None):
        found[f"{name}_text"] = value
        if number(value) is not None:
            found[f"{name}_number"] = number(value)


def information(avp: Any, found: dict[str, Any]) -> None:
    for part in (inner for group in avp.value if group.code in (874, 876, 2000) for inner in group.value):
        code, raw = part.code, octets(part)
        if code == 2 and part.vendor_id == TGPP:
            found["charging_id"] = int.from_bytes(raw, "big")
        elif code == 2050:
            found["pdn_charging_id"] = part.value
        elif code in (1227, 847, 1228):
            name = {1227: "pdn", 847: "gateway", 1228: "sgsn"}[code]
            if f"{name}_address_text" not in found:
                found |= {f"{name}_address": address(raw), f"{name}_address_text": raw}
        elif code == 30:
            found["apn_text"] = raw
        elif code == 18:
            found["serving_plmn"] = int(raw[:3]) * 1000 + int(raw[3:])
        elif code == 21:
            found["rat_type"] = raw[0]
        elif code == 22:
            found["location_text"] = raw
        elif code == 13:
            found["characteristics_text"] = raw
        elif code == 23:
            quarters = (raw[0] & 7) * 10 + (raw[0] >> 4)
            found |= {"zone_quarters": -quarters if raw[0] & 8 else quarters, "daylight": raw[1] & 3}
        elif code == 841:
            found["icid_text"] = raw
        elif code in (829, 862):
            found[{829: "node_role", 862: "node_functionality"}[code]] = part.value
        elif code == 830:
            found["user_session_text"] = raw
        elif code in (831, 832):
            party(found, {831: "calling", 832: "called"}[code], raw)
        elif code == 823:
            found |= {{824: "sip_method_text", 825: "sip_event_text"}[e.code]: octets(e) for e in part.value
                      if e.code in (824, 825)}
        elif code in (2016, 2007, 2019):
            found[{2016: "sms_node", 2007: "sms_type", 2019: "message_count"}[code]] = part.value
        elif code in (2026, 2027):
            for one in [p for p in part.value if p.code == 1201] if code == 2026 else [part]:
                data = next((octets(p) for p in one.value if p.code == 897), None)
                if data is not None and code == 2026:
                    found["recipient_count"] = found.get("recipient_count", 0) + 1
                    if "recipient_text" not in found:
                        party(found, "recipient", data)
                elif data is not None:
                    party(found, "originator", data)
    for part in avp.value:
        if part.code == 443:
            subscription(part, found)


def subscription(avp: Any, found: dict[str, Any]) -> None:
    parts = {p.code: p for p in avp.value}
    kind, data = parts[450].value, octets(parts[444])
    if kind < 2:
        first(found, ("e164", "imsi")[kind], pack(data.decode().lstrip("+")))
        return
    imsi, e164 = derived(data.decode("latin1"))
    if imsi:
        first(found, "imsi", pack(imsi))
    if kind == 2 and imsi:
        return
    if e164 and kind != 2:
        first(found, "e164", pack(e164))
    if SUBSCRIPTIONS[kind] not in found:
        found[SUBSCRIPTIONS[kind]] = data
        if kind == 2 and number(data) is not None:
            found["sip_number"] = number(data)


def derived(name: str) -> tuple[str, str]:
    """IMSI and number that a NAI or identity of TS 23.003 says."""
    found = re.fullmatch(r"(?s)(.{3}:(?=.)|.{4}:(?=.))?(.*)@(.*)", name)
    if found is None:
        return "", ""
    user, realm = found[2], found[3]
    if "!" in user:
        home, _, user = user.rpartition("!")
        realm = home.rpartition("!")[2]
    if user.startswith("+"):
        return "", user[1:] if re.fullmatch(r"\+[0-9]{1,15}", user) else ""
    country = re.search(r"(?i)\.mcc([0-9]{3})\.", realm)
    if country is None or not re.fullmatch("[0-9]+", user):
        return "", ""
    imsi = user if user.startswith(country[1]) and len(user) <= 15 else user[1:] if user[0] in "016" else ""
    return (imsi, "") if imsi.startswith(country[1]) and 6 <= len(imsi) <= 15 else ("", "")


def request(message: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Columns of a message and of its units. Keys are left out; absent columns are not there."""
    decoded = Message.from_bytes(message, plain_msg=True)
    header = decoded.header
    found: dict[str, Any] = {
        "command": header.command_code, "flags": message[4], "application": header.application_id,
        "hop_by_hop": header.hop_by_hop_identifier, "end_to_end": header.end_to_end_identifier, "length": header.length}
    units: list[dict[str, Any]] = []
    own: list[dict[str, Any]] = []
    wanted: dict[str, Any] = {}
    for avp in decoded.avps:
        if avp.code in TOP and not avp.vendor_id:
            name = TOP[avp.code]
            first(found, name, octets(avp) if name.endswith("_text") else avp.value)
            if avp.code == 461:
                digits = re.search(r"([0-9]{1,5})(@|$)", octets(avp).decode("latin1").partition("@")[0])
                found["service_context"] = CONTEXTS.get(digits[1], 0) if digits else 0
        elif avp.code == 55:
            found["event_time_us"] = time_us(avp)
        elif avp.code == 443:
            subscription(avp, found)
        elif avp.code == 458:
            found |= {("equipment_type" if p.code == 459 else "equipment_text"): p.value if p.code == 459 else octets(p)
                      for p in avp.value}
        elif avp.code == 260:
            for part in avp.value:
                if part.code == 258:
                    first(found, "auth_application", part.value)
        elif avp.code == 873:
            information(avp, found)
        elif avp.code == 437:
            wanted = block(avp, "requested")
        elif avp.code == 446:
            own.append(block(avp, "used"))
        elif avp.code == 456:
            units += service(avp, sum(1 for u in units if u["used_index"] == 0))
    if wanted or own:
        units = [{"kind": 1, "group_index": 0, "used_index": i, **(wanted if i == 0 else {}), **used}
                 for i, used in enumerate(own or [{}])]
        for unit in units:
            unit["service_identifier_count"] = 0
            if "service_identifier" in found:
                unit |= {"service_identifier": found["service_identifier"], "service_identifier_count": 1}
    return found, units


def service(avp: Any, index: int) -> list[dict[str, Any]]:
    """Rows of one Multiple-Services-Credit-Control."""
    common: dict[str, Any] = {"kind": 0, "group_index": index, "service_identifier_count": 0}
    wanted: dict[str, Any] = {}
    used: list[dict[str, Any]] = []
    for part in avp.value:
        if part.code == 432:
            common["rating_group"] = part.value
        elif part.code == 439:
            first(common, "service_identifier", part.value)
            common["service_identifier_count"] += 1
        elif part.code == 872:
            first(common, "reporting_reason", part.value)
        elif part.code == 437:
            wanted = block(part, "requested")
        elif part.code == 446:
            used.append(block(part, "used"))
    return [common | (wanted if i == 0 else {}) | one | {"used_index": i} for i, one in enumerate(used or [{}])]
