"""BER to columns: PGW records of about 400 octets with three containers, one core, decode only.

    python -m benchmarks.ber [records]

Prints records/s of the best and the median batch, octets/s, and a checksum of all cells: speed must not change meaning.
"""

import hashlib
import statistics
import sys
import time

import numpy as np

from mediation.formats.registry import load_format
from schemas.columns import U8

SMOKE, REAL = 2_000, 1_000_000
BATCH = 5_000


def records_file(count: int, seed: int = 1) -> U8:
    """A TS 32.297 file of `count` PGW records that differ in identity, times, volumes."""
    def tlv(tag: int, content: bytes) -> bytes:
        head = bytes([0x80 | tag]) if tag < 31 else bytes([0x9F, tag])
        return head + bytes([len(content)]) + content

    def within(tag: int, content: bytes) -> bytes:
        head = bytes([0xA0 | tag]) if tag < 31 else bytes([0xBF, tag])
        size = bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)]) if len(content) < 256 \
            else b"\x82" + len(content).to_bytes(2, "big")
        return head + size + content

    stamp = bytes.fromhex("2610211200002b0200")
    address = tlv(0, bytes([10, 0, 0, 1]))
    container = b"".join([tlv(1, b"\x0a"), tlv(4, b"\x01"), tlv(5, stamp), tlv(6, stamp), tlv(7, b"\x02\x58"),
                          tlv(8, bytes(5)), tlv(12, b"\x01\xe2\x40"), tlv(13, b"\x00\x96\xb4\x3f"), tlv(14, stamp)])
    body = b"".join([
        tlv(0, b"\x55"), tlv(3, bytes.fromhex("00010100000000f1")), within(4, address), tlv(5, b"\x00\xbc\x61\x4e"),
        within(6, address), tlv(7, b"internet.mnc001"), tlv(8, b"\xf1\x21"), within(9, within(0, address)),
        tlv(11, b"\xff"), tlv(13, stamp), tlv(14, b"\x0e\x10"), tlv(15, b"\0"), tlv(17, b"\x01"), tlv(18, b"PGW01"),
        tlv(20, b"\0\0\0\1"), tlv(21, b"\0"), tlv(22, bytes.fromhex("916407214365f7")), tlv(23, b"\x08\0"),
        tlv(27, b"\x00\xf1\x10"), tlv(29, bytes.fromhex("5345209021436587")), tlv(30, b"\x06"), tlv(31, b"\x40\0"),
        tlv(32, bytes(13)), within(34, (b"\x30" + bytes([len(container)]) + container) * 3), within(35, tlv(10, b"\2")),
        tlv(37, b"\x00\xf1\x10"), tlv(38, stamp), tlv(39, stamp)])
    record = within(79, body)
    one = np.frombuffer(len(record).to_bytes(2, "big") + b"\xe6\x27\x06" + record, np.uint8)
    rows = np.tile(one, (count, 1))
    draw = np.random.default_rng(seed)
    at = one.tobytes().find(b"\x94\x04") + 2
    rows[:, at:at + 4] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)  # local sequence number
    at = one.tobytes().find(b"\x85\x04") + 3
    rows[:, at:at + 3] = draw.integers(0, 256, (count, 3), np.uint8)  # charging id
    at = one.tobytes().find(b"\x83\x08") + 4
    low, high = draw.integers(0, 10, (2, count, 5), np.uint8)
    rows[:, at:at + 5] = high << 4 | low  # IMSI
    return rows.reshape(-1)


def main(rows: int = REAL) -> dict[str, float | str]:
    """Decode `rows` records; returns what it prints."""
    fmt = load_format("ts32298-gprs")
    begin = time.perf_counter()
    fmt.decode(records_file(1), 0, 0, 1)
    compile_s = time.perf_counter() - begin
    buffer = records_file(rows)
    fmt.decode(buffer, 0, buffer.size, min(rows, BATCH))
    digest = hashlib.sha256()
    at, found, rates, spent, processor = 0, 0, [], 0.0, 0.0
    while at < buffer.size:
        begin, begin_processor = time.perf_counter(), time.thread_time()
        part = fmt.decode(buffer, at, buffer.size, BATCH)
        took = time.perf_counter() - begin
        processor += time.thread_time() - begin_processor
        rates.append(part.record_count / took)
        spent += took
        found += part.record_count
        at = part.next_offset
        if part.cells["status"].any():
            raise AssertionError("a sound record was not read")
        digest.update(part.cells.matrix.tobytes())
    if found != rows:
        raise AssertionError(f"{found} records decoded, {rows} written")
    result: dict[str, float | str] = {
        "records": rows, "octets_per_record": buffer.size / rows, "first_call_s": compile_s,
        "records_per_s": rows / spent, "best_records_per_s": max(rates),
        "median_records_per_s": statistics.median(rates),
        "records_per_processor_s": rows / processor,
        "megaoctets_per_s": buffer.size / spent / 1e6, "checksum": digest.hexdigest()[:16]}
    for name, value in result.items():
        print(f"{name:24} {value:,.3f}" if isinstance(value, float) else f"{name:24} {value}")
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REAL)
