"""What a record says, read the slow and obvious way from what asn1tools decoded. Shares no code with the product.

A row is {DECODED column: value}: numbers as their digits, text as its octets, times as datetime, all else as it is;
a column that is absent is not there.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]
DATA = {"service": "data", "direction": "originating"}


def time(octets: bytes) -> datetime:
    text = octets[:6].hex() + chr(octets[6]) + octets[7:].hex()
    away = timedelta(hours=int(text[13:15]), minutes=int(text[15:17]))
    local = datetime.strptime("20" + text[:12], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return local - away if text[12] == "+" else local + away


def tbcd(octets: bytes) -> str:
    swapped = "".join(f"{octet & 15:x}{octet >> 4:x}" for octet in octets)
    return swapped.rstrip("f").translate(str.maketrans("abcde", "*#abc"))


KINDS = {0: "unknown", 1: "international", 2: "national", 3: "network_specific", 4: "short_code", 6: "short_code"}


def put_number(row: Row, column: str, octets: bytes) -> None:
    digits = tbcd(octets[1:] if octets[0] & 0x80 else octets[2:])
    if digits:
        row[column], row[f"{column}_type"] = digits, KINDS.get(octets[0] >> 4 & 7, "unknown")


def put_text(row: Row, column: str, text: str) -> None:
    """Characters: a number where they are one."""
    digits = text.removeprefix("+")
    if digits and all(c in "0123456789" for c in digits):
        row[column], row[f"{column}_type"] = digits, "international" if text.startswith("+") else "unknown"
    elif text:
        row[column], row[f"{column}_type"] = text.encode(), "text"


def put_uri(row: Row, column: str, text: str) -> None:
    user = text
    if text.lower().startswith("tel:"):
        user = text[4:].split(";")[0]
    elif text.lower().startswith("sip:") and "@" in text:
        user = text[4:].split("@")[0].split(";")[0]
    for separator in "-.()":
        user = user.replace(separator, "")
    put_text(row, column, user)
    if row.get(f"{column}_type") == "text":
        row[column] = text.encode()


def plmn(octets: bytes) -> int:
    digits = f"{octets[0] & 15}{octets[0] >> 4}{octets[1] & 15}{octets[2] & 15}{octets[2] >> 4}"
    third = octets[1] >> 4
    return int(digits[:3]) * 1000 + int(digits[3:] + (str(third) if third != 15 else ""))


def put_address(row: Row, choice: tuple[str, Any] | None) -> None:
    if choice is None or "served_address" in row:
        return
    form, value = choice
    if form == "v4":
        row["served_address"], row["served_address_text"] = int.from_bytes(value, "big"), 0
    elif form == "v4text":
        parts = [int(part) for part in value.split(".")]
        row["served_address"], row["served_address_text"] = int.from_bytes(bytes(parts), "big"), 0
    else:
        row["served_address"], row["served_address_text"] = value if form == "v6" else value.encode(), 1


def copy(row: Row, value: Row, **names: str) -> None:
    for column, name in names.items():
        if name in value:
            row[column] = value[name]


def packet(value: Row, kind: str) -> list[Row]:
    head: Row = {"record_type": kind, **DATA, "opening_time_us": time(value["opening"])}
    copy(head, value, charging_id="chargingId", cause_for_closing="cause", partial_sequence="sequence",
         local_sequence="localSequence", rat_type="rat")
    if "apn" in value:
        head["apn_text"] = value["apn"].encode()
    if "imsi" in value:
        head["served_imsi"] = tbcd(value["imsi"])
    if "imei" in value:
        head["served_imei"] = tbcd(value["imei"])[:14]
    if "msisdn" in value:
        put_number(head, "served_number", value["msisdn"])
    if "servingPlmn" in value:
        head["serving_plmn"] = plmn(value["servingPlmn"])
    if "started" in value:
        head["session_start_us"] = time(value["started"])
    first, second = (value[name][1] if name in value else None for name in ("subscriberAddress", "secondAddress"))
    for wanted in ("v4", "v6", "v4text", "v6text"):
        for choice in (first, second if wanted == "v4" else None):
            if choice is not None and choice[0] == wanted:
                put_address(head, choice)
    gateway = value.get("gateway")
    if gateway is not None and gateway[0] == "v4":
        head["gateway_address"] = int.from_bytes(gateway[1], "big")
    rows = []
    if value.get("services"):
        for item in value["services"]:
            row = dict(head, start_time_us=time(item.get("firstUsage", value["opening"])))
            copy(row, item, rating_group="ratingGroup", duration_s="timeUsage", uplink_octets="up",
                 downlink_octets="down", service_identifier="identifier")
            rows.append(row)
    else:
        since = value["opening"]
        for item in value.get("volumes", []):
            row = dict(head, start_time_us=time(since))
            copy(row, item, uplink_octets="up", downlink_octets="down", rat_type="rat")
            since = item["changed"]
            rows.append(row)
    return rows or [dict(head, start_time_us=head["opening_time_us"], duration_s=value["duration"])]


def chf(value: Row) -> list[Row]:
    head: Row = {"record_type": "chf", **DATA, "opening_time_us": time(value["opening"])}
    copy(head, value, charging_id="chargingId", cause_for_closing="cause", partial_sequence="sequence",
         local_sequence="localSequence")
    session = value.get("session", {})
    copy(head, session, charging_id="chargingId", rat_type="rat")
    if "dnn" in session:
        head["apn_text"] = session["dnn"].encode()
    if "slice" in session:
        head["slice_type"] = session["slice"]["sst"]
        if "sd" in session["slice"]:
            head["slice_differentiator"] = int.from_bytes(session["slice"]["sd"], "big")
    if value.get("identifier"):
        head["session_text"] = value["identifier"]
    if "plmn" in session:
        head["serving_plmn"] = plmn(session["plmn"])
    if "started" in session:
        head["session_start_us"] = time(session["started"])
    put_address(head, session.get("address", {}).get("v4"))
    put_address(head, session.get("address", {}).get("v6"))
    address = value["consumer"].get("address")
    if address is not None:
        head["gateway_address"] = int.from_bytes(address[1], "big")
    subscriber = value.get("subscriber", {"type": "", "text": ""})
    text = subscriber["text"]
    if text.startswith("imsi-"):
        head["served_imsi"] = text[5:]
    elif text.startswith("msisdn-"):
        head["served_number"], head["served_number_type"] = text[7:], "international"
    elif subscriber["type"] == "imsi":
        head["served_imsi"] = text
    if "user" in session and "served_number" not in head:
        form, user = session["user"]
        (put_text if form == "e164" else put_uri)(head, "served_number", user)
    if subscriber["type"] not in ("", "imsi") and "-" not in text and "served_number" not in head:
        put_text(head, "served_number", text)
    rows = []
    for usage in value.get("usage", []):
        since = value["opening"]
        for item in usage.get("containers", []):
            pdu = item.get("pdu", {})
            row = dict(head, rating_group=usage["ratingGroup"], start_time_us=time(pdu.get("firstUsage", since)))
            copy(row, item, service_identifier="identifier", duration_s="time", uplink_octets="up",
                 downlink_octets="down")
            copy(row, pdu, rat_type="rat")
            if "total" in item:
                row.setdefault("downlink_octets", item["total"] - item.get("up", 0))
                row.setdefault("uplink_octets", item["total"] - row["downlink_octets"])
            since = item.get("triggered", value["opening"])
            rows.append(row)
    return rows or [dict(head, start_time_us=head["opening_time_us"], duration_s=value["duration"])]


FORWARDING = {0x20, 0x21, 0x28, 0x29, 0x2A, 0x2B}


def circuit(choice: str, value: Row) -> list[Row]:
    row: Row = {"served_imsi": tbcd(value["imsi"])} if "imsi" in value else {}
    if "msisdn" in value:
        put_number(row, "served_number", value["msisdn"])
    if "imei" in value:
        row["served_imei"] = tbcd(value["imei"])[:14]
    if "plmn" in value.get("location", {}):
        row["serving_plmn"] = plmn(value["location"]["plmn"])
    if value.get("reference"):
        row["session_text"] = value["reference"]
    if choice in ("moSms", "mtSms"):
        row.update(service="sms", message_count=1, cause_for_closing=0, answered=int("result" not in value))
        row["start_time_us"] = time(value["sent" if choice == "moSms" else "delivered"])
        row["record_type"], row["direction"] = ("sms_mo", "originating") if choice == "moSms" else \
            ("sms_mt", "terminating")
        if "destination" in value:
            octets = value["destination"] if value["destination"][0] & 0x80 else value["destination"][1:]
            if octets[0] >> 4 & 7 == 5:
                row["other_number"], row["other_number_type"] = octets[1:], "text"
            else:
                put_number(row, "other_number", octets)
        return [row]
    row.update(service="voice", duration_s=value["duration"], answered=int("answer" in value))
    copy(row, value, cause_for_closing="cause", partial_sequence="sequence")
    row["start_time_us"] = time(value.get("answer", value.get("seizure")))
    if "seizure" in value:
        row["opening_time_us"] = time(value["seizure"])
    row["record_type"], row["direction"] = {"mo": ("mo_call", "originating"), "mt": ("mt_call", "terminating"),
                                            "mtrf": ("call_forwarding", "forwarded")}[choice]
    if value.get("services") and value["services"][0]["code"][0] in FORWARDING:
        row["record_type"], row["direction"] = "call_forwarding", "forwarded"
    other = {"mo": "called", "mt": "calling", "mtrf": "roaming"}[choice]
    if other in value:
        put_number(row, "other_number", value[other])
    if choice == "mtrf" and "msisdn" in value:
        put_number(row, "forwarded_number", value["msisdn"])
    return [row]


CAUSES = {"success": 0, "failure": 3, "timeLimit": 17, "change": 19, "intervention": 20}


def session(choice: str, value: Row) -> list[Row]:
    row: Row = {"service": "voice", "start_time_us": time(value.get("answered", value["requested"])),
                "opening_time_us": time(value["requested"]), "answered": int("answered" in value), "duration_s": 0}
    row["record_type"] = {"scscf": "ims_s_cscf", "pcscf": "ims_p_cscf", "icscf": "other", "mgcf": "ims_mgcf",
                          "as": "ims_as", "mmtel": "ims_as"}[choice]
    copy(row, value, partial_sequence="sequence", local_sequence="localSequence")
    row["session_text"] = value.get("icid") or value["callId"].encode()
    if "cause" in value:
        row["cause_for_closing"] = CAUSES[value["cause"]]
    if "answered" in value:
        start = time(value["answered"]) + timedelta(milliseconds=value.get("answeredMs", 0))
        end = time(value["ended"]) + timedelta(milliseconds=value.get("endedMs", 0))
        row["duration_s"] = -((start - end) // timedelta(seconds=1))
    parties: Row = {}
    order = {"tel": 0, "sip": 1, "urn": 2, "e164": 3}
    for form, text in sorted(value.get("calling", []), key=lambda party: order[party[0]]):
        if form != "urn" and "calling" not in parties:
            (put_text if form == "e164" else put_uri)(parties, "calling", text)
    if "called" in value:
        form, text = value["called"]
        (put_text if form == "e164" else put_uri)(parties, "called", text)
    names = ("calling", "called")
    if value.get("role") == "terminating":
        names = ("called", "calling")
    if "role" in value:
        row["node_role"] = ["originating", "terminating"].index(value["role"])
        row["direction"] = value["role"]
    for column, name in zip(("served_number", "other_number"), names, strict=True):
        if name in parties:
            row[column], row[f"{column}_type"] = parties[name], parties[f"{name}_type"]
    return [row]


def short_message(choice: str, value: Row) -> list[Row]:
    row: Row = {"service": "sms", "message_count": 1, "cause_for_closing": 0, "answered": int("result" not in value),
                "start_time_us": time(value["event"])}
    copy(row, value, local_sequence="localSequence", rat_type="rat")
    row["record_type"], row["direction"] = {"mo": ("sms_mo", "originating"), "mt": ("sms_mt", "terminating")}[choice]
    if value.get("reference"):
        row["session_text"] = value["reference"]
    served, others = (value.get("originator"), value.get("recipients", [])) if choice == "mo" else \
        (value.get("recipient"), [value["originator"]] if "originator" in value else [])
    if served:
        if "imsi" in served:
            row["served_imsi"] = tbcd(served["imsi"])
        party(row, "served_number", served)
    rows = []
    for item in others:
        rows.append(dict(row))
        party(rows[-1], "other_number", item)
    return rows or [row]


def party(row: Row, column: str, item: Row) -> None:
    if "msisdn" in item:
        put_number(row, column, item["msisdn"])
    if column not in row and "text" in item.get("other", {}):
        put_text(row, column, item["other"]["text"])
