"""Kamailio's ims_charging as a client of Ro, driven by sipp: a call is reserved, reported and billed."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.integration.conftest import DATE, SEED
from tests.integration.site import Site
from tests.integration.test_serve import laws, site_of
from tests.served import Served

pytestmark = [pytest.mark.online, pytest.mark.filterwarnings("ignore"),
              pytest.mark.skipif(shutil.which("kamailio") is None or shutil.which("sipp") is None,
                                 reason="Kamailio or sipp is not installed")]
CALLER, CALLED, REALM = "999701234567", "999710000005", "tarifa.example"
PREPAID = 1_000_000
DIAMETER = """<?xml version="1.0" encoding="UTF-8"?>
<DiameterPeer FQDN="scscf-01.{realm}" Realm="{realm}" Vendor_Id="10415" Product_Name="CDiameterPeer"
  AcceptUnknownPeers="0" DropUnknownOnDisconnect="1" Tc="30" Workers="4" QueueLength="32" TransactionTimeout="5"
  SessionsHashSize="128" DefaultAuthSessionTimeout="3600" MaxAuthSessionTimeout="3600">
  <Peer FQDN="localhost" Realm="{realm}" port="{port}"/>
  <Acceptor port="{acceptor}" bind="127.0.0.1"/>
  <Auth id="4" vendor="10415"/><Auth id="4" vendor="0"/>
  <SupportedVendor vendor="10415"/>
  <DefaultRoute FQDN="localhost" metric="10"/>
</DiameterPeer>
"""
KAMAILIO = """#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
listen=udp:127.0.0.1:{sip}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
loadmodule "cdp.so"
loadmodule "cdp_avp.so"
loadmodule "ims_dialog.so"
loadmodule "ims_charging.so"
modparam("rr", "enable_full_lr", 1)
modparam("cdp", "config_file", "{folder}/diameter.xml")
modparam("ims_dialog", "dlg_flag", 4)
modparam("ims_charging", "origin_host", "scscf-01.{realm}")
modparam("ims_charging", "origin_realm", "{realm}")
modparam("ims_charging", "destination_host", "localhost")
modparam("ims_charging", "destination_realm", "{realm}")
modparam("ims_charging", "ro_forced_peer", "localhost")
modparam("ims_charging", "service_context_id_root", "32260@3gpp.org")
modparam("ims_charging", "interim_update_credits", {credits})
modparam("ims_charging", "timer_buffer", 2)
request_route {{
    if (has_totag()) {{
        loose_route();
        t_relay();
        exit;
    }}
    if (is_method("INVITE")) {{
        setflag(4);
        t_newtran();
        record_route();
        $du = "sip:127.0.0.1:{uas}";
        if (Ro_CCR("CHARGED", "orig", {credits}, "0", "0") < 0) {{
            t_reply("500", "Charging Error");
        }}
        exit;
    }}
    exit;
}}
route[CHARGED] {{
    if ($avp(s:cca_return_code) != 1) {{
        t_reply("402", "Payment Required");
        exit;
    }}
    $du = "sip:127.0.0.1:{uas}";
    t_relay();
    exit;
}}
"""
UAC = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send retrans="500"><![CDATA[
    INVITE sip:+{called}@{realm} SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:+{caller}@{realm}>;tag=[pid]t[call_number]
    To: <sip:+{called}@{realm}>
    Call-ID: [call_id]
    CSeq: 1 INVITE
    Contact: <sip:+{caller}@[local_ip]:[local_port]>
    P-Asserted-Identity: <sip:+{caller}@{realm}>
    P-Charging-Vector: icid-value=call-[pid]-[call_number]
    Max-Forwards: 70
    Content-Type: application/sdp
    Content-Length: [len]

    v=0
    o=u 1 1 IN IP4 [local_ip]
    s=-
    c=IN IP4 [local_ip]
    t=0 0
    m=audio 6000 RTP/AVP 0
    a=rtpmap:0 PCMU/8000
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
    ACK [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:+{caller}@{realm}>;tag=[pid]t[call_number]
    [last_To:]
    [routes]
    Call-ID: [call_id]
    CSeq: 1 ACK
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <pause milliseconds="{talk_ms}"/>
  <send retrans="500"><![CDATA[
    BYE [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:+{caller}@{realm}>;tag=[pid]t[call_number]
    [last_To:]
    [routes]
    Call-ID: [call_id]
    CSeq: 2 BYE
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <recv response="200"/>
</scenario>
"""
UAS = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="called">
  <recv request="INVITE" rrs="true"/>
  <send retrans="500"><![CDATA[
    SIP/2.0 200 OK
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]u[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    [last_Record-Route:]
    Contact: <sip:called@[local_ip]:[local_port]>
    Content-Type: application/sdp
    Content-Length: [len]

    v=0
    o=u 1 1 IN IP4 [local_ip]
    s=-
    c=IN IP4 [local_ip]
    t=0 0
    m=audio 6001 RTP/AVP 0
    a=rtpmap:0 PCMU/8000
  ]]></send>
  <recv request="ACK"/>
  <recv request="BYE"/>
  <send><![CDATA[
    SIP/2.0 200 OK
    [last_Via:]
    [last_From:]
    [last_To:]
    [last_Call-ID:]
    [last_CSeq:]
    Content-Length: 0

  ]]></send>
</scenario>
"""


def free(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The sample operator, which is called localhost: Kamailio looks its peer up by name."""
    from pipelines.keys import Keys
    from pipelines.sample.generate import generate

    generate(tmp_path / "day", 60, DATE, 1, SEED, files_per_source=2)
    Keys.open(tmp_path / "shared" / "keys")
    site = site_of(tmp_path / "day", tmp_path, tmp_path / "shared" / "keys")
    path = site.input.operator / "serve.yaml"
    serve = yaml.safe_load(path.read_text())
    serve["identity"] = {"host": "localhost", "realm": REALM}
    path.write_text(yaml.safe_dump(serve))
    return site


@contextmanager
def kamailio(folder: Path, port: int, credits: int) -> Iterator[tuple[int, int]]:
    """Running; gives its SIP port and that of who is called."""
    sip, uas = free(socket.SOCK_DGRAM), free(socket.SOCK_DGRAM)
    (folder / "diameter.xml").write_text(DIAMETER.format(realm=REALM, port=port, acceptor=free(socket.SOCK_STREAM)))
    (folder / "kamailio.cfg").write_text(KAMAILIO.format(realm=REALM, folder=folder, sip=sip, uas=uas, credits=credits))
    with (folder / "kamailio.log").open("w") as log:
        process = subprocess.Popen(["kamailio", "-f", folder / "kamailio.cfg", "-DD", "-E", "-Y", folder, "-P",
                                    folder / "kamailio.pid"], stdout=log, stderr=log)
        try:
            yield sip, uas
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def call(folder: Path, sip: int, uas: int, talk_ms: int, calls: int = 1) -> subprocess.CompletedProcess[str]:
    """So many calls by sipp, one after the other has begun."""
    (folder / "uas.xml").write_text(UAS)
    (folder / "uac.xml").write_text(UAC.format(caller=CALLER, called=CALLED, realm=REALM, talk_ms=talk_ms))
    answering = subprocess.Popen(["sipp", "-sf", folder / "uas.xml", "-i", "127.0.0.1", "-p", str(uas), "-m",
                                  str(calls), "-nostdin"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 cwd=folder)
    try:
        return subprocess.run(["sipp", "-sf", folder / "uac.xml", "-i", "127.0.0.1", "-p", str(free(socket.SOCK_DGRAM)),
                               f"127.0.0.1:{sip}", "-m", str(calls), "-nostdin", "-timeout", "40", "-trace_err"],
                              capture_output=True, text=True, check=False, cwd=folder, timeout=60)
    finally:
        answering.terminate()
        answering.wait(10)




def test_a_call_of_kamailio_is_reserved_reported_and_billed(site: Site, tmp_path: Path) -> None:
    with Served(site.input.root, site.home.root) as served:
        with kamailio(tmp_path, served.port, credits=5) as (sip, uas):
            time.sleep(4)  # until it has greeted its peer
            done = call(tmp_path, sip, uas, talk_ms=8000)
            log = (tmp_path / "kamailio.log").read_text()
            assert done.returncode == 0, done.stdout[-2000:] + log[-4000:]
            time.sleep(2)
        served.stop()
    grants = site.rows("grant")
    assert (grants[0]["kind"], grants[-1]["kind"]) == ("initial", "termination")
    assert {r["result_code"] for r in grants} == {2001} and len(grants) >= 4
    assert {r["account_id"] for r in grants} == {PREPAID}
    seconds = sum(r["quantity"] for r in site.rows("rated"))
    assert 8 <= seconds <= 11
    assert laws(site) == set()
