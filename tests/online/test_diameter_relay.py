"""python-diameter, freeDiameter as a relay, and our server behind it."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from diameter.message.avp.grouped import MultipleServicesCreditControl, RequestedServiceUnit

from pipelines.diameter import encode
from pipelines.diameter.encode import Texts
from tests.diameter_peers import CLIENT, OCS, REALM, Client, Running, credit_request

pytestmark = [pytest.mark.online, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
              pytest.mark.skipif(shutil.which("freeDiameterd") is None, reason="freeDiameter is not installed")]
RELAY = "relay.example.com"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configure(folder: Path, port: int, server_port: int) -> Path:
    """A relay of one peer on either side, without TLS, on loopback."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem", "-days", "2", "-subj", f"/CN={RELAY}"], check=True,
                   capture_output=True)
    (folder / "acl.conf").write_text(f"ALLOW_IPSEC {CLIENT}\n")
    lines = [f'Identity = "{RELAY}";', f'Realm = "{REALM}";', f"Port = {port};", "SecPort = 0;", "No_SCTP;", "No_IPv6;",
             'ListenOn = "127.0.0.1";', f'TLS_Cred = "{folder}/cert.pem", "{folder}/key.pem";',
             f'TLS_CA = "{folder}/cert.pem";', 'LoadExtension = "dict_nasreq.fdx";', 'LoadExtension = "dict_dcca.fdx";',
             'LoadExtension = "dict_dcca_3gpp.fdx";', f'LoadExtension = "acl_wl.fdx" : "{folder}/acl.conf";',
             f'ConnectPeer = "{OCS.host}" {{ ConnectTo = "127.0.0.1"; Port = {server_port}; No_TLS; }};']
    path = folder / "relay.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_session_through_free_diameter(tmp_path: Path) -> None:
    asked = []

    def on_request(application: Any, message: Any) -> Any:
        asked.append(message.session_id)
        answer = application.generate_answer(message)
        answer.session_id, answer.result_code = message.session_id, 2002
        return answer

    port = free_port()
    with Running() as running, (tmp_path / "log").open("wb") as log:
        relay = subprocess.Popen(["freeDiameterd", "-c", configure(tmp_path, port, running.port)],
                                 stdout=log, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + 30
            while not any(c.is_open for c in running.server.connections):
                assert relay.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.1)
            assert running.server.connections[0].is_relay
            with Client(port, server=RELAY, on_request=on_request) as client:
                for number, kind in ((0, 1), (1, 2), (2, 3)):
                    answer = client.ask(credit_request(
                        kind, number, destination_host=OCS.host.encode(), multiple_services_credit_control=[
                            MultipleServicesCreditControl(rating_group=10,
                                                          requested_service_unit=RequestedServiceUnit())]))
                    assert (answer.result_code, answer.cc_request_number) == (2001, number)
                    assert answer.multiple_services_credit_control[0].granted_service_unit.cc_total_octets == 1 << 20
                texts, requests = Texts(), encode.requests(1)
                requests["command"], requests["application"] = 258, 4
                requests["session_text"] = texts.add("pgw1.example.com;1;1")
                requests["destination_host_text"] = texts.add(CLIENT)
                requests["destination_realm_text"], requests["reauth_type"] = texts.add(REALM), 0

                async def send() -> int:
                    return await running.server.send(requests, texts.array())[0]

                assert running.run(send()) == 2002
                assert asked == ["pgw1.example.com;1;1"]
        finally:
            relay.terminate()
            relay.wait(10)
