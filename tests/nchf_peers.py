"""A stand-in for the charging node, the server before it, and clients, for tests of Nchf."""

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mediation.memory import Lexicon
from mediation.resolve import resolve
from mediation.tokens import Sightings
from pipelines.nchf.access import NchfSettings, Token
from pipelines.nchf.app import NchfApp
from pipelines.nchf.charging import Charging
from pipelines.nchf.limits import Limits
from pipelines.nchf.server import NchfServer
from reference_data.online import OnlineRules
from reference_data.snapshot import Snapshot
from schemas import online
from schemas.codes import Service
from schemas.columns import ABSENT, Cells
from schemas.online import ANSWER, REQUEST, FinalAction, RequestKind
from tests.small_operator import ANNA, TOKEN_KEY, Reference

SECRET = b"s" * 32
ROOT = "/nchf-convergedcharging/v3/chargingdata"
OFFLINE_ROOT = "/nchf-offlineonlycharging/v1/offlinechargingdata"
TOKEN = "a-token-of-the-smf"
SETTINGS = NchfSettings(open_on_loopback=True)


def token(consumer: str = "smf", secret: str = TOKEN, **more: Any) -> Token:
    return Token(consumer, hashlib.sha256(secret.encode()).hexdigest(), **more)


@dataclass
class StandIn:
    """Answers as the desk does, with units instead of money: an account has `units` of everything."""

    reference: Snapshot
    lexicon: Lexicon = field(default_factory=Lexicon)
    rules: OnlineRules = field(default_factory=OnlineRules)
    units: dict[int, int] = field(default_factory=dict)
    sessions: dict[tuple[int, int], int] = field(default_factory=dict)  # key: last number
    held: dict[tuple[int, int, int], int] = field(default_factory=dict)
    used: list[tuple[int, int, int]] = field(default_factory=list)      # account, rating group, units
    blocks: list[Cells] = field(default_factory=list)
    answered: dict[tuple[int, int, int], dict[int, dict[str, int]]] = field(default_factory=dict)
    wait: asyncio.Event | None = None
    fails: BaseException | None = None

    async def request(self, requests: Cells, sightings: Sightings | None = None, at_once: bool = False) -> Cells:
        await asyncio.sleep(0)
        if self.wait is not None:
            await self.wait.wait()
        if self.fails is not None:
            raise self.fails
        self.blocks.append(requests)
        resolve(requests, self.reference)
        answers = Cells.empty(ANSWER, len(requests), fill=ABSENT)
        answers["message"], answers["repeated"], answers["final_action"] = requests["message"], 0, 0
        answers["message_code"] = answers["result_code"] = online.SUCCESS
        last = -1
        code = repeated = 0
        for row in range(len(requests)):
            r = {name: int(requests[name][row]) for name in (
                "message", "session_hi", "session_lo", "number", "kind", "account_id", "rating_group", "service",
                "requested", "used", "used_after")}
            key = r["session_hi"], r["session_lo"]
            assert key != (0, 0)
            if r["message"] != last:
                last, code, repeated = r["message"], online.SUCCESS, 0
                begins = r["kind"] in (RequestKind.INITIAL, RequestKind.EVENT)
                if r["account_id"] == ABSENT:
                    code = online.USER_UNKNOWN
                elif (*key, r["number"]) in self.answered:
                    repeated = 1
                elif not begins and key not in self.sessions:
                    code = online.UNKNOWN_SESSION_ID
                if r["kind"] == RequestKind.INITIAL and code == online.SUCCESS:
                    self.sessions[key] = r["number"]
                elif r["kind"] == RequestKind.TERMINATION:
                    self.sessions.pop(key, None)
            answers["message_code"][row], answers["repeated"][row] = code, repeated
            if repeated:
                kept = self.answered[*key, r["number"]]
                for name, value in kept.get(r["rating_group"], {}).items():
                    answers[name][row] = value
                continue
            if code != online.USER_UNKNOWN:
                self._charge(answers, row, r, key, code)
            self.answered.setdefault((*key, r["number"]), {})[r["rating_group"]] = {
                name: int(answers[name][row]) for name in ANSWER.names if name not in ("message", "repeated")}
        return answers

    def _charge(self, answers: Cells, row: int, r: dict[str, int], key: tuple[int, int], code: int) -> None:
        account, group = r["account_id"], r["rating_group"]
        rules = self.rules.of(Service(r["service"]))
        left = self.units.setdefault(account, 1 << 50) + self.held.pop((*key, group), 0)
        used = max(r["used"], 0) + max(r["used_after"], 0)
        if used:
            self.used.append((account, group, used))
            left -= used
        if r["requested"] != ABSENT and code == online.SUCCESS:
            granted = max(min(r["requested"] or rules.quota, rules.quota, left), 0)
            left -= granted
            self.held[*key, group] = granted
            answers["granted"][row], answers["validity_s"][row] = granted, rules.validity_s
            if rules.holding_s:
                answers["holding_s"][row] = rules.holding_s
            if granted < (r["requested"] or rules.quota):
                answers["final_action"][row] = int(rules.final_action)
            elif rules.threshold_percent:
                answers["threshold"][row] = granted * rules.threshold_percent // 100
            if not granted:
                answers["result_code"][row] = online.CREDIT_LIMIT_REACHED
                answers["final_action"][row] = int(rules.final_action or FinalAction.TERMINATE)
        self.units[account] = left


@dataclass
class Site:
    """A running server and what stands behind it."""

    node: StandIn
    app: NchfApp
    settings: NchfSettings

    @property
    def url(self) -> str:
        scheme = "http" if self.settings.certificate is None else "https"
        return f"{scheme}://{self.settings.host}:{self.settings.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_app(folder: Path, settings: NchfSettings = SETTINGS, limits: Limits | None = None) -> Site:
    """Everything but the sockets."""
    node = StandIn(Reference().load(folder))
    charging = Charging(node, TOKEN_KEY, SECRET, limits or Limits())
    return Site(node, NchfApp(charging, settings), settings)


@contextlib.asynccontextmanager
async def serving(folder: Path, limits: Limits | None = None, **settings: Any) -> AsyncIterator[Site]:
    site = make_app(folder, NchfSettings(port=free_port(), **({"open_on_loopback": True} | settings)), limits)
    server = NchfServer(site.app, site.settings, limits or Limits())
    await server.start()
    try:
        yield site
    finally:
        await server.stop()


def client(site: Site, http2: bool = True, **more: Any) -> httpx.AsyncClient:
    """HTTP/2 with prior knowledge, or HTTP/1.1."""
    return httpx.AsyncClient(base_url=site.url, http1=not http2, http2=http2, trust_env=False, timeout=10, **more)


def group(number: int = 10, asked: int | None = 1000, used: int | None = None, **more: Any) -> dict[str, Any]:
    """One MultipleUnitUsage of octets; asked 0: whatever the operator grants."""
    said: dict[str, Any] = {"ratingGroup": number}
    if asked is not None:
        said["requestedUnit"] = {"totalVolume": asked} if asked else {}
    if used is not None:
        said["usedUnitContainer"] = [{"localSequenceNumber": 1, "totalVolume": used,
                                      "quotaManagementIndicator": "ONLINE_CHARGING"}]
    return said | more


def pdu_session(charging_id: int = 4711) -> dict[str, Any]:
    return {"chargingId": charging_id, "userInformation": {"servedGPSI": f"msisdn-{ANNA[1]}"},
            "pduSessionInformation": {
                "pduSessionID": 5, "dnnId": "internet", "ratType": "NR", "servingCNPlmnId": {"mcc": "001", "mnc": "01"},
                "networkSlicingInfo": {"sNSSAI": {"sst": 1, "sd": "00abcd"}}}}


def request(number: int = 0, *groups: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A charging data request of Anna's PDU session."""
    said = {"subscriberIdentifier": f"imsi-{ANNA[2]}",
            "nfConsumerIdentification": {"nodeFunctionality": "SMF", "nFIPv4Address": "10.0.0.1",
                                         "nFName": "3fa85f64-5717-4562-b3fc-2c963f66afa6"},
            "invocationTimeStamp": "2026-10-21T12:00:00.123Z", "invocationSequenceNumber": number,
            "multipleUnitUsage": list(groups), "pDUSessionChargingInformation": pdu_session()}
    return {name: value for name, value in (said | changes).items() if value is not None}


def octets(said: object) -> bytes:
    return json.dumps(said).encode()


__all__ = ["REQUEST", "Site", "StandIn", "client", "group", "make_app", "octets", "pdu_session", "request", "serving"]
