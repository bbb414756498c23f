"""A call of Kamailio, as captured: each message is read, whatever stands in it, and damaged ones never raise."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from pipelines.diameter.parse import parse
from schemas.digits import pack
from tests.diameter_peers import text
from tests.property.test_ber_fuzz import damage
from tests.property.test_diameter_fuzz import check

pytestmark = pytest.mark.standards
CAPTURE = "samples/synthetic/kamailio-ro-one-25s-call.pcapng"
PORT = 13881


def payloads(capture: bytes) -> list[tuple[int, bytes]]:
    """(destination port, TCP payload) of a pcapng of Ethernet frames, with IPv4 and without options that matter."""
    found, at = [], 0
    while at + 12 <= len(capture):
        kind, size = (int.from_bytes(capture[at + i:at + i + 4], "little") for i in (0, 4))
        if kind == 6:  # Enhanced Packet Block
            frame = capture[at + 28:at + 28 + int.from_bytes(capture[at + 20:at + 24], "little")]
            ip = frame[14:14 + int.from_bytes(frame[16:18], "big")]
            segment = ip[(ip[0] & 15) * 4:]
            if ip[9] == 6:
                found.append((int.from_bytes(segment[2:4], "big"), segment[(segment[12] >> 4) * 4:]))
        at += size
    return [f for f in found if f[1]]


@pytest.fixture(scope="module")
def stream() -> bytes:
    """What Kamailio sent, in order."""
    path = Path(os.environ["TARIFA_STANDARDS"]) / CAPTURE
    return b"".join(octets for port, octets in payloads(path.read_bytes()) if port == PORT)


def test_a_call_of_kamailio_is_read(stream: bytes) -> None:
    buffer = np.frombuffer(stream, np.uint8)
    parsed = parse(buffer)
    messages, units = parsed.messages, parsed.units
    assert parsed.taken.tolist() == [len(stream)]
    # Twice the same Origin-Host, no Auth-Application-Id of its own, a MAC of 17 octets: none of it is refused.
    assert set(messages["result_code"].tolist()) == {0}
    calls = np.flatnonzero(messages["command"] == 272)
    assert messages["request_type"][calls].tolist() == [1, 2, 2, 2, 3]
    assert messages["request_number"][calls].tolist() == [0, 1, 2, 3, 4]
    assert len(set(messages["session_lo"][calls].tolist())) == 1
    first = int(calls[0])
    assert text(buffer, messages["session_text"][first]) == b"scscf.ims.test;2786210658;1"
    assert (messages["service_context"][calls] == 2).all()
    assert messages["called_number"][first] == pack("46701234567")
    assert text(buffer, messages["calling_text"][first]) == b"sip:sipp@127.0.0.1:5096"
    assert text(buffer, messages["sip_method_text"][first]) == b"INVITE"
    assert (messages["node_role"][calls] == 0).all()
    assert messages["event_time_us"][first] == 1_795_306_346_000_000
    assert (units["rating_group"] == 100).all() and (units["service_identifier"] == 1000).all()
    used = units["used_time_s"]
    assert used[used >= 0].tolist() == [8, 8, 8, 2]
    assert units["requested_time_s"].tolist()[:4] == [10] * 4 and units["requested"][-1] == 0


def test_damage_to_the_call_never_raises(stream: bytes) -> None:
    rng = random.Random(3)
    for _ in range(300):
        check(damage(stream, rng))
    for at in range(1400):
        check(stream[:at] + bytes([stream[at] ^ 1 << at % 8]) + stream[at + 1:1400])
