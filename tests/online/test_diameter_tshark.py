"""Wireshark reads our answers and requests and has nothing to complain about."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipelines.diameter import base, encode
from pipelines.diameter.base import Identity
from pipelines.diameter.columns import BLOCK, INPUT, MONEY, OUTPUT, TIME, TOTAL, UNITS
from pipelines.diameter.encode import Answers, Texts, encode_answers, encode_requests, identity_avps
from pipelines.diameter.parse import parse
from tests.diameter_messages import SLR, STR, end, limit, message
from tests.unit.test_diameter_errors import FAULTS, LIMITS, SOUND

pytestmark = [pytest.mark.online, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
              pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")]
IDENTITY = identity_avps("ocs.example.com", "example.com")
US = Identity("ocs.example.com", "example.com", 7)


def capture(path: Path, messages: list[bytes]) -> None:
    """A pcap with each message in a TCP segment of its own, from port 3868."""
    octets = (0xA1B2C3D4).to_bytes(4, "big") + b"\0\2\0\4" + bytes(8) + (262_144).to_bytes(4, "big") \
        + (101).to_bytes(4, "big")
    sequence = 1
    for one in messages:
        tcp = (3868).to_bytes(2, "big") + (40_000).to_bytes(2, "big") + sequence.to_bytes(4, "big") + bytes(4) \
            + b"\x50\x10\xff\xff" + bytes(4)
        ip = b"\x45\0" + (40 + len(one)).to_bytes(2, "big") + b"\0\0\0\0\x40\x06\0\0" + b"\x7f\0\0\1" * 2
        packet = ip + tcp + one
        octets += bytes(8) + len(packet).to_bytes(4, "big") * 2 + packet
        sequence += len(one)
    path.write_bytes(octets)


def read(path: Path, messages: list[bytes]) -> str:
    """What tshark -V says of them."""
    capture(path, messages)
    found = subprocess.run(["tshark", "-r", path, "-V", "-o", "tcp.check_checksum:FALSE"], capture_output=True,
                           text=True, check=True)
    return found.stdout


def complaints(said: str) -> list[str]:
    """Its complaints about what is ours: a Failed-AVP shows what the peer sent wrong."""
    lines, shown = said.splitlines(), -1
    found = []
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if shown >= 0 and indent <= shown and line.strip():
            shown = -1
        if "AVP: Failed-AVP" in line:
            shown = indent
        if shown < 0 and ("Expert Info (Error" in line or "Malformed" in line or "Unknown" in line):
            found.append(line.strip())
    return found


def rich() -> list[bytes]:
    """Answers with everything in them."""
    asked = [message([*SOUND, ("Multiple-Services-Credit-Control", [("Rating-Group", 10), ("Service-Identifier", 1)]),
                      ("Multiple-Services-Credit-Control", [("Rating-Group", 20)])], hop=1),
             message([*SOUND, ("Requested-Service-Unit", [])], hop=2)]
    buffer = np.frombuffer(b"".join(asked), np.uint8)
    parsed = parse(buffer)
    texts, answers, grants = Texts(), encode.answers(2), encode.grants(2)
    for cells in (answers, grants):
        cells["granted"] = BLOCK | TIME | TOTAL | INPUT | OUTPUT | UNITS | MONEY
        for name in ("time_s", "total_octets", "input_octets", "output_octets", "service_units", "money_digits"):
            cells[f"granted_{name}"] = 1000
        cells["granted_money_exponent"], cells["granted_currency"] = -2, 978
        cells["tariff_change_us"], cells["validity_s"] = 1_800_000_000_000_000, 600
        cells["final_action"], cells["redirect_type"] = 1, 2
        cells["redirect_text"] = texts.add("http://top.up/")
        cells["restriction_text"] = texts.add("deny in ip from any")
        cells["filter_text"] = texts.add("walled-garden")
    grants["unit_row"] = [0, 1]
    grants["rating_group"], grants["result_code"] = [10, 20], [2001, 4012]
    for name in ("pool", "pool_unit_type", "pool_digits", "time_threshold_s", "volume_threshold_octets",
                 "unit_threshold", "holding_time_s", "consumption_time_s"):
        grants[name] = 2
    grants["message_row"] = 0
    for name in ("session_failover", "failure_handling", "debiting_failure_handling", "balance_result", "low_balance"):
        answers[name] = 1
    answers["cost_currency"], answers["cost_digits"], answers["cost_exponent"] = 978, 12345, -3
    answers["cost_unit_text"], answers["error_text"] = texts.add("minute"), texts.add("all well")
    answers["balance_currency"], answers["balance_digits"] = 978, 99
    sent = encode_answers(buffer, parsed.messages, parsed.units, Answers(answers, grants, texts=texts.array()),
                          IDENTITY, 7)
    return [sent.buffer[b:b + n].tobytes() for b, n in sent.places.tolist()]


def test_answers_with_everything_in_them(tmp_path: Path) -> None:
    said = read(tmp_path / "rich.pcap", rich())
    assert complaints(said) == []
    assert said.count("Command Code: Credit-Control (272)") == 2
    for value in ("Multiple-Services-Credit-Control(456)", "Final-Unit-Action(449) l=12 f=-M- val=REDIRECT (1)",
                  "Redirect-Server-Address(435) l=22 f=-M- val=http://top.up/",
                  "Volume-Quota-Threshold(869) l=16 f=VM-",
                  "CC-Total-Octets(421) l=16 f=-M- val=1000", "Result-Code(268) l=12 f=-M- val=DIAMETER_CREDIT_LIMIT",
                  "Quota-Holding-Time(871)", "Cost-Information(423)", "Remaining-Balance(2021)"):
        assert value in said, value


def test_refusals_of_every_kind(tmp_path: Path) -> None:
    buffer = np.frombuffer(b"".join(octets for octets, _, _ in FAULTS.values()), np.uint8)
    parsed = parse(buffer, limits=LIMITS)
    given = encode.answers(len(parsed.messages))
    given["result_code"] = parsed.messages["result_code"]
    sent = encode_answers(buffer, parsed.messages, parsed.units, Answers(given), IDENTITY)
    # The answer to an unknown command repeats its code, and answers without a session had none to repeat.
    known = np.isin(parsed.messages["command"], (272, SLR, STR))
    some = [sent.buffer[b:b + n].tobytes() for (b, n), ok in zip(sent.places.tolist(), known, strict=True) if ok]
    said = read(tmp_path / "refusals.pcap", some)
    assert complaints(said) == []
    assert said.count("Result-Code(268)") >= len(some)


def test_spending_limits_and_their_refusals(tmp_path: Path) -> None:
    asked = (limit("pcrf;1", 0, "daily"), limit("pcrf;2", 0, "a"), limit("pcrf;3"), limit("x", 1), end("pcrf;1"))
    buffer = np.frombuffer(b"".join(asked), np.uint8)
    parsed = parse(buffer)
    texts, given, reports = Texts(), encode.answers(5), encode.reports(2)
    given["result_code"] = [2001, 5570, 4241, 5002, 2001]
    named = int(parsed.units["counter_text"][1])
    given["failed_avp_code"][1], given["failed_avp_vendor"][1] = 2901, 10415
    given["failed_avp"][1] = ((named >> 16) - 12) << 16 | (named & 0xFFFF) + 12
    reports["message_row"], reports["counter_text"] = 0, [texts.add("daily"), texts.add("monthly")]
    reports["status_text"], reports["pending_status_text"][0] = texts.add("threshold-1"), texts.add("below")
    reports["pending_time_us"][0] = 1_800_000_000_000_000
    sent = encode_answers(buffer, parsed.messages, parsed.units, Answers(given, reports=reports, texts=texts.array()),
                          IDENTITY, 7)
    said = read(tmp_path / "sy.pcap", [sent.buffer[b:b + n].tobytes() for b, n in sent.places.tolist()])
    assert complaints(said) == []
    for value in ("Spending-Limit (8388635)", "Session-Termination (275)", "Policy-Counter-Status-Report(2903)",
                  "Pending-Policy-Counter-Change-Time(2906) l=16 f=VM-", "Jan 15, 2027 08:00:00", "(5570)", "(4241)",
                  "Policy-Counter-Identifier(2901) l=13 f=VM- vnd=TGPP val=a"):
        assert value in said, value + said


def test_base_protocol_and_requests_of_ours(tmp_path: Path) -> None:
    texts, requests, reports = Texts(), encode.requests(3), encode.reports(1)
    requests["command"], requests["application"] = [258, 274, 8388636], [4, 4, 16777302]
    requests["hop_by_hop"], requests["end_to_end"] = [1, 2, 3], [4, 5, 6]
    requests["session_text"], requests["destination_realm_text"] = texts.add("s;1"), texts.add("example.com")
    requests["destination_host_text"], requests["reauth_type"] = texts.add("pgw.example.com"), 0
    requests["rating_group"] = 10  # SN-Request-Type is younger than the dictionary of tshark 4.0
    reports["message_row"], reports["counter_text"], reports["status_text"] = 2, texts.add("daily"), texts.add("low")
    sent = encode_requests(requests, texts.array(), IDENTITY, 7, reports)
    made = [sent.buffer[b:b + n].tobytes() for b, n in sent.places.tolist()]
    made += [base.capabilities_request(US, ["127.0.0.1", "::1"], 1, 1), base.watchdog_request(US, 2, 2),
             base.capabilities_answer(US, 2001, ["127.0.0.1"], 1, 1), base.capabilities_answer(US, 3010, ["::1"], 1, 1),
             base.disconnect_request(US, 0, 3, 3), base.plain_answer(US, 280, 2001, 2, 2),
             base.plain_answer(US, 282, 2001, 3, 3)]
    said = read(tmp_path / "base.pcap", made)
    assert complaints(said) == []
    for value in ("Re-Auth (258)", "Abort-Session (274)", "Spending-Status-Notification", "Policy-Counter-Status(2902)",
                  "Capabilities-Exchange (257)", "Disconnect-Peer (282)", "Device-Watchdog (280)"):
        assert value in said, value
