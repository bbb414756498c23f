"""Slow, obvious readings of the text formats with Python's own csv and json; shares no code with the product."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def voip_calls(data: bytes) -> Iterator[dict[str, Any]]:
    """Calls of a `voip-csv` file: what a row must say."""
    lines = [line for line in data.decode().splitlines() if line.strip() and not line.startswith("TRAILER,")]
    for row in csv.DictReader(io.StringIO("\n".join(lines))):
        originating = row["direction"] != "terminating"
        whole, _, fraction = row["duration"].partition(".")
        yield {
            "session": row["call_id"], "sequence": int(row["sequence"]), "served": row["served"].lstrip("+"),
            "other": row["called" if originating else "calling"].lstrip("+"),
            "direction": row["direction"], "start_us": us(row["answer_time"] or row["setup_time"]),
            "answered": bool(row["answer_time"]), "duration_s": int(whole) + (int(fraction or 0) > 0),
        }


def chf_containers(data: bytes) -> Iterator[dict[str, Any]]:
    """Usage containers of a `chf-json` file: what a row must say; one of no usage for a record without any."""
    for line in data.decode().splitlines():
        if not line.strip():
            continue
        record = json.loads(line)
        session = record.get("pDUSessionChargingInformation", {})
        found = [(unit, used) for unit in record.get("multipleUnitUsage", [])
                 for used in unit.get("usedUnitContainer", [])]
        for unit, used in found or [({}, {})]:
            total, up, down = (used.get(k) for k in ("totalVolume", "uplinkVolume", "downlinkVolume"))
            if down is None and total is not None:
                down = total - (up or 0)
            if up is None and total is not None:
                up = total - down
            first = used.get("pDUContainerInformation", {}).get("timeofFirstUsage")
            yield {
                "session": record["chargingSessionId"], "imsi": record["subscriberIdentifier"].removeprefix("imsi-"),
                "sequence": record["invocationSequenceNumber"], "opening_us": us(record["invocationTimeStamp"]),
                "start_us": us(first or used.get("triggerTimestamp") or record["invocationTimeStamp"]),
                "rating_group": unit.get("ratingGroup"), "service": used.get("serviceId"),
                "uplink": up, "downlink": down, "duration_s": used.get("time"),
                "charging_id": session.get("chargingId"),
            }
