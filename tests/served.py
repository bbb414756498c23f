"""`tarifa serve` for tests: the command in a process of its own, python-diameter before it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from diameter.message.avp.grouped import (
    MultipleServicesCreditControl,
    PsInformation,
    RequestedServiceUnit,
    ServiceInformation,
    SubscriptionId,
    UsedServiceUnit,
)
from diameter.message.commands.credit_control import CreditControlRequest

from tests.diameter_peers import Client

OCS, REALM, PGW = "ocs.tarifa.example", "tarifa.example", "pgw-01.tarifa.example"
MIB = 1 << 20


class Served:
    """The command, running. `address` of its Gy; `said`: its log so far."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._log = folder / f"serve-{time.monotonic_ns()}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.apps.cli", "serve", "--input", str(folder), "--home", str(home)],
                stdout=log, stderr=log, env=os.environ | {"TARIFA_TRACE": "1"})
        self.port = 0
        for _ in range(6000):
            if any(line["event"] == "ready" for line in self.said):
                self.port = next(int(line["address"].rpartition(":")[2]) for line in self.said
                                 if line.get("front_end") == "gy")
                break
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.05)

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self._log.read_text()
        assert "leaked" not in self._log.read_text()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()


def listen_anywhere(operator: Path) -> None:
    """The sample's serve.yaml, at a port that is free."""
    path = operator / "serve.yaml"
    serve = yaml.safe_load(path.read_text())
    serve["gy"]["listen"] = serve["operate"]["listen"] = "127.0.0.1:0"
    path.write_text(yaml.safe_dump(serve))


def gateway(port: int, on_request: Any = None) -> Client:
    """The packet gateway of the sample operator."""
    return Client(port, host=PGW, realm=REALM, on_request=on_request, server=OCS)


def ccr(kind: int, number: int, session: str, msisdn: str, *services: Any, context: str = "32251@3gpp.org",
        **fields: Any) -> Any:
    """A CCR of the gateway. services: MultipleServicesCreditControl."""
    message = CreditControlRequest()
    message.header.application_id = 4
    message.header.is_proxyable = True
    message.session_id, message.origin_host, message.origin_realm = session, PGW.encode(), REALM.encode()
    message.destination_realm, message.auth_application_id = REALM.encode(), 4
    message.service_context_id, message.cc_request_type, message.cc_request_number = context, kind, number
    message.subscription_id = [SubscriptionId(subscription_id_type=0, subscription_id_data=msisdn)]
    if context.startswith("32251"):
        message.service_information = ServiceInformation(ps_information=PsInformation(
            tgpp_charging_id=b"\x00\x00\x00\x07", called_station_id="internet", tgpp_sgsn_mcc_mnc="00101"))
    if services:
        message.multiple_services_credit_control = list(services)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def service(group: int, asks: int | None = 0, used: int | None = None) -> Any:
    """One rating group. asks: octets, 0 for whatever the operator grants, None for nothing; used: octets."""
    made = MultipleServicesCreditControl(rating_group=group)
    if asks is not None:
        made.requested_service_unit = RequestedServiceUnit(cc_total_octets=asks) if asks else RequestedServiceUnit()
    if used is not None:
        made.used_service_unit = [UsedServiceUnit(cc_total_octets=used)]
    return made


def told(answer: Any) -> list[tuple[int, int, int | None, int | None]]:
    """(rating group, result code, octets granted, final unit action) of an answer's services."""
    found = []
    for each in answer.multiple_services_credit_control:
        unit, final = each.granted_service_unit, each.final_unit_indication
        found.append((each.rating_group, each.result_code, unit.cc_total_octets if unit else None,
                      final.final_unit_action if final else None))
    return found
