"""Diameter: Credit-Control-Requests to columns and answers back to octets, one core, beside python-diameter.

    python -m benchmarks.diameter [messages]

Updates of about 700 octets with two services each (report and reserve), 256 in a buffer as a tick has them. Prints
messages/s of parsing, of encoding the answers, of both, the same of python-diameter (decode, build the answer, encode),
and a checksum of all cells and answers: speed must not change meaning.
"""

import hashlib
import statistics
import sys
import time

import numpy as np

from pipelines.diameter import encode
from pipelines.diameter.columns import BLOCK, TOTAL
from pipelines.diameter.encode import Answers, encode_answers, identity_avps
from pipelines.diameter.parse import Parsed, parse
from schemas.columns import U8

SMOKE, REAL = 2_048, 1_000_000
TICK = 256
IDENTITY = identity_avps("ocs.example.com", "example.com")


def updates(count: int, seed: int = 1) -> U8:
    """CCR-U that differ in session, subscriber, request number and octets used; all of one length."""
    def avp(code: int, payload: bytes | int, vendor: int = 0) -> bytes:
        octets = payload.to_bytes(4, "big") if isinstance(payload, int) else payload
        head = 12 if vendor else 8
        return (code.to_bytes(4, "big") + (b"\xc0" if vendor else b"\x40") + (head + len(octets)).to_bytes(3, "big")
                + (vendor.to_bytes(4, "big") if vendor else b"") + octets + bytes(-len(octets) % 4))

    def service(group: int) -> bytes:
        used = avp(421, bytes(2) + b"UUUUUU") + avp(412, bytes(8)) + avp(414, bytes(8))
        return avp(456, avp(437, b"") + avp(446, used) + avp(432, group) + avp(872, 0, 10415))

    information = avp(874, b"".join([
        avp(2, b"CHID", 10415), avp(1227, b"\0\x01\x0a\0\0\x01", 10415), avp(1228, b"\0\x01\xc0\xa8\0\1", 10415),
        avp(847, b"\0\x01\xc0\xa8\0\2", 10415), avp(30, b"internet.example"), avp(18, b"24001", 10415),
        avp(22, b"\x82" + bytes(12), 10415), avp(21, b"\x06", 10415), avp(23, b"\x40\0", 10415)]), 10415)
    body = b"".join([
        avp(263, b"pgw1.example.com;SSSSSSSSSS;1"), avp(264, b"pgw1.example.com"), avp(296, b"example.com"),
        avp(283, b"example.com"), avp(293, b"ocs.example.com"), avp(258, 4), avp(461, b"32251@3gpp.org"), avp(416, 2),
        avp(415, b"NNNN"), avp(278, 1), avp(55, 4_000_000_000), avp(455, 1),
        avp(443, avp(450, 0) + avp(444, b"4670MMMMMMM")), avp(443, avp(450, 1) + avp(444, b"24001IIIIIIIIII")),
        service(10), service(20), avp(873, information, 10415)])
    one = b"\x01" + (20 + len(body)).to_bytes(3, "big") + b"\xc0\0\x01\x10\0\0\0\x04HHHHEEEE" + body
    rows = np.tile(np.frombuffer(one, np.uint8), (count, 1))
    draw = np.random.default_rng(seed)
    for mark, digits in ((b"SSSSSSSSSS", True), (b"MMMMMMM", True), (b"IIIIIIIIII", True), (b"CHID", False)):
        at = one.index(mark)
        rows[:, at:at + len(mark)] = draw.integers(48, 58, (count, len(mark)), np.uint8) if digits else \
            draw.integers(0, 256, (count, len(mark)), np.uint8)
    for mark in (b"HHHH", b"EEEE", b"NNNN"):
        at = one.index(mark)
        rows[:, at:at + 4] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    at = -1
    for _ in range(2):
        at = one.index(b"UUUUUU", at + 1)
        rows[:, at:at + 6] = draw.integers(0, 256, (count, 6), np.uint8)
    return rows.reshape(-1)


def granted(parsed: Parsed) -> Answers:
    """A mebioctet for each service."""
    units = parsed.units
    grants = encode.grants(len(units))
    grants["message_row"], grants["unit_row"] = units["message_row"], np.arange(len(units))
    grants["rating_group"], grants["result_code"] = units["rating_group"], 2001
    grants["granted"], grants["granted_total_octets"] = BLOCK | TOTAL, 1 << 20
    grants["validity_s"], grants["volume_threshold_octets"] = 3600, 1 << 17
    return Answers(encode.answers(len(parsed.messages)), grants)


def python_diameter(octets: bytes, seconds: float) -> float:
    """Messages/s of python-diameter: decode, build the answer, encode."""
    from diameter.message import Message
    from diameter.message.avp.grouped import GrantedServiceUnit, MultipleServicesCreditControl

    length = int.from_bytes(octets[1:4], "big")
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        at = done * length % len(octets)
        request = Message.from_bytes(octets[at:at + length])
        answer = request.to_answer()
        answer.session_id, answer.result_code, answer.auth_application_id = request.session_id, 2001, 4
        answer.origin_host, answer.origin_realm = b"ocs.example.com", b"example.com"
        answer.cc_request_type, answer.cc_request_number = request.cc_request_type, request.cc_request_number
        answer.multiple_services_credit_control = [MultipleServicesCreditControl(
            granted_service_unit=GrantedServiceUnit(cc_total_octets=1 << 20), rating_group=s.rating_group,
            validity_time=3600, result_code=2001, volume_quota_threshold=1 << 17)
            for s in request.multiple_services_credit_control]
        answer.as_bytes()
        done += 1
    return done / (time.perf_counter() - begin)


def main(count: int = REAL, other_s: float = 3.0) -> dict[str, float | str]:
    """Parse and answer `count` messages; returns what it prints."""
    begin = time.perf_counter()
    small = parse(updates(1))
    encode_answers(updates(1), small.messages, small.units, granted(small), IDENTITY)
    compile_s = time.perf_counter() - begin
    digest, parsing, encoding, rates, octets, sent = hashlib.sha256(), 0.0, 0.0, [], 0, 0
    block = updates(min(count, 64 * TICK))
    length = block.size // (block.size // small.messages["length"][0])
    found = 0
    while found < count:
        at = found * length % block.size
        buffer = block[at:at + TICK * length]
        begin = time.perf_counter()
        parsed = parse(buffer)
        middle = time.perf_counter()
        answers = granted(parsed)
        ready = time.perf_counter()
        out = encode_answers(buffer, parsed.messages, parsed.units, answers, IDENTITY, 1)
        end = time.perf_counter()
        rows = len(parsed.messages)
        if parsed.messages["result_code"].any() or rows == 0 or len(parsed.units) != 2 * rows:
            raise AssertionError("a sound message was not read")
        parsing, encoding = parsing + middle - begin, encoding + end - ready
        rates.append(rows / (middle - begin + end - ready))
        found, octets, sent = found + rows, octets + buffer.size, sent + out.buffer.size
        if found <= 64 * TICK:
            for part in (parsed.messages.matrix, parsed.units.matrix, out.buffer):
                digest.update(part.tobytes())
    other = python_diameter(block.tobytes()[:100 * int(length)], other_s)
    result: dict[str, float | str] = {
        "messages": found, "octets_per_message": octets / found, "octets_per_answer": sent / found,
        "first_call_s": compile_s, "parsed_per_s": found / parsing, "answered_per_s": found / encoding,
        "messages_per_s": found / (parsing + encoding), "median_messages_per_s": statistics.median(rates),
        "megaoctets_per_s": octets / parsing / 1e6, "python_diameter_per_s": other,
        "times_python_diameter": found / (parsing + encoding) / other, "checksum": digest.hexdigest()[:16]}
    for name, value in result.items():
        print(f"{name:24} {value:,.3f}" if isinstance(value, float) else f"{name:24} {value}")
    return result


if __name__ == "__main__":
    smoke = "--smoke" in sys.argv
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    main(numbers[0] if numbers else SMOKE if smoke else REAL, 0.2 if smoke else 3.0)
