"""A site with hand-written input: Anna (account 1, prepaid, 1.00) calls by VoIP and uses data that is merged.

Abroad she pays 0.15 and 0.49 for each minute begun: the tariff is the example's, the day 21 October 2026.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.home import Input
from tests.integration.site import Site, put
from tests.small_operator import ANNA, BEN, LONG_AGO, OPERATOR, Reference, account, times

DAY = "20261021"
NAME = r"[a-z]+-?[0-9]*_(?P<sequence>[0-9]+)_(?P<time>[0-9]{14})\.[a-z]+"
STREAMS: list[dict[str, Any]] = [
    {"name": "voip", "sources": "voip-*", "format": "voip-csv", "file_name": NAME, "file_sequence_modulo": 1000},
    {"name": "chf", "sources": "chf-*", "format": "chf-json", "file_name": NAME,
     "merge": {"policy": "until_final", "timeout_s": 3600}}]
HEADER = "call_id,node,sequence,direction,served,calling,called,setup_time,answer_time,release_time,duration,cause\n"
CALL_NANOS = 640_000_000


def reference(**changes: Any) -> Reference:
    """Anna and Ben with a euro each."""
    plans = [{"account_id": n, "plan": "prepaid-basic" if n == 1 else "postpaid-family", **times()} for n in (1, 2)]
    return Reference(operator={**OPERATOR, "country_code": "999"}, streams=[dict(s) for s in STREAMS],
                     accounts=[
                         account(1, opening_balance="1.00", time_zone="Europe/Berlin"),
                         account(2, opening_balance="1.00", time_zone="Europe/Berlin", payment="postpaid",
                                 credit_limit="50")],
                     plans=plans, **changes)


class HandMade(Site):
    """Its own operator and inbox; nothing is generated."""

    def __init__(self, folder: Path, keys: Path) -> None:
        super().__init__(folder / "input", folder, keys)
        self.input = Input(folder / "input")
        self.input.operator.mkdir(parents=True)
        self.input.inbox.mkdir()
        self.reference = reference()
        self.reference.write(self.input.operator)

    def calls(self, sequence: int, at: str, calls: Sequence[tuple[int, str]], source: str = "voip-01",
              lines: str = "") -> Path:
        """A file of a minute's calls abroad by Anna: number of the call, and time of day HH:MM."""
        return put(self.input.inbox, source, f"{source}_{sequence:06d}_{DAY}{at}.csv",
                   (HEADER + "".join(call(*each) for each in calls) + lines).encode())

    def own_tariffs(self) -> Path:
        """A folder of tariffs that may be changed; the example's until then."""
        folder = self.input.operator / "tariffs"
        example = folder.resolve()
        folder.unlink()
        shutil.copytree(example, folder)
        return folder

    def charged(self) -> list[tuple[int, int]]:
        """Charge and what of it nothing covered, in order, nanos."""
        return [(row["charge_nanos"], row["uncollected_nanos"] or 0)
                for row in self.rows("rated", ["charge_nanos", "uncollected_nanos"])]


def call(number: int, at: str, served: str = ANNA[1], seconds: int = 60) -> str:
    day = "2026-10-21T"
    return (f"c{number}@voip,voip-01,{number},originating,+{served},+{served},+33123456789,{day}{at}:00Z,{day}{at}:00Z,"
            f"{day}{at}:59Z,{seconds},16\n")


def usage(session: str, number: int, at: str, octets: int, final: bool = False) -> str:
    """One line of a CHF: a partial of Anna's session."""
    time = f"2026-10-21T{at}:00Z"
    container = {"serviceId": 1, "time": 10, "triggerTimestamp": time, "totalVolume": octets, "uplinkVolume": 0,
                 "downlinkVolume": octets}
    return json.dumps({
        "chargingSessionId": session, "subscriberIdentifier": f"imsi-{ANNA[2]}", "invocationTimeStamp": time,
        "invocationSequenceNumber": number, "multipleUnitUsage": [{"ratingGroup": 1, "usedUnitContainer": [container]}],
        "pDUSessionChargingInformation": {"chargingId": 7, "userInformation": {"servedGPSI": f"msisdn-{ANNA[1]}"},
                                          "pduSessionInformation": {
            "dnnId": "internet", "startTime": "2026-10-21T08:00:00Z", "sessionStopIndicator": final,
            "servingCNPlmnId": {"mcc": "001", "mnc": "01"}}}}) + "\n"


def top_up(number: int, at: str, amount: str = "10.00", account_id: int = 1) -> dict[str, Any]:
    return {"id": f"t-{number}", "time": f"2026-10-21T{at}:00Z", "kind": "top_up", "account_id": account_id,
            "amount": amount, "currency": "EUR"}


def clock(number: int, time: str) -> dict[str, Any]:
    return {"id": f"clock-{number}", "time": time, "kind": "clock"}


__all__ = ["ANNA", "BEN", "CALL_NANOS", "DAY", "HEADER", "LONG_AGO", "HandMade", "call", "clock", "reference",
           "top_up", "usage"]
