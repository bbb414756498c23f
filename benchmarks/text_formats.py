"""Bytes to DECODED rows for the text families: records/s and MB/s of one thread, with a checksum of the output.

    python -m benchmarks.text_formats [--records N] [--repeat N]

The smoke size (the default of `measure`) runs in the tests; `--records 1000000` is the real one. Thread CPU time is
shown beside wall time, because machines are shared. JIT compilation happens at import and is not counted.
"""

import argparse
import json
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mediation.formats.registry import load_format
from schemas.columns import U8


@dataclass(frozen=True)
class Measured:
    """One format's figures; `checksum` is of the decoded cells."""

    name: str
    records: int
    rows: int
    octets: int
    wall_s: float
    cpu_s: float
    checksum: int


def voip_csv(count: int) -> bytes:
    """Calls of a VoIP switch, one in seven not answered."""
    lines = ["call_id,node,sequence,direction,served,calling,called,setup_time,answer_time,release_time,duration,cause,"
             "trunk_in,trunk_out"]
    for i in range(count):
        minute, second, answered = i // 60 % 60, i % 60, i % 7 > 0
        answer = f"2026-03-01T12:{minute:02d}:{second:02d}.250Z" if answered else ""
        seconds = f"{i % 300}.{i % 1000:03d}" if answered else "0.000"
        direction = "originating" if i % 3 else "terminating"
        lines.append(f"{i:016x},sbc-01,{i},{direction},+4670{i % 10**7:07d},+4670{i % 10**7:07d},004613{i % 10**6:06d},"
                     f"2026-03-01T12:{minute:02d}:{second:02d}.000Z,{answer},2026-03-01T13:00:00.000Z,{seconds},"
                     f"{16 if answered else 17},trunk-a,trunk-b")
    return "\n".join([*lines, f"TRAILER,{count}", ""]).encode()


def chf_json(count: int) -> bytes:
    """Charging data requests with two rating groups."""
    lines = []
    for i in range(count):
        used = [{"ratingGroup": group, "usedUnitContainer": [
            {"localSequenceNumber": 1, "time": 600, "uplinkVolume": 1000 + i, "downlinkVolume": 20000 + i,
             "totalVolume": 21000 + 2 * i, "triggerTimestamp": "2026-03-01T11:50:00Z"}]} for group in (10, 20)]
        lines.append(json.dumps({
            "chargingSessionId": f"smf1-{i:012d}", "subscriberIdentifier": f"imsi-00101{i:010d}",
            "nfConsumerIdentification": {"nFName": "smf-01", "nFIPv4Address": "10.1.2.3", "nodeFunctionality": "SMF"},
            "invocationTimeStamp": "2026-03-01T12:00:00.123Z", "invocationSequenceNumber": i % 7,
            "multipleUnitUsage": used,
            "pDUSessionChargingInformation": {
                "chargingId": i, "userInformation": {"servedGPSI": f"msisdn-4670{i:07d}"},
                "pduSessionInformation": {"pduSessionID": 5, "dnnId": "internet", "ratType": "NR",
                                          "servingCNPlmnId": {"mcc": "001", "mnc": "01"},
                                          "startTime": "2026-03-01T10:00:00Z"}}}, separators=(",", ":")))
    return "\n".join([*lines, ""]).encode()


def radius(count: int) -> bytes:
    """Interim updates of Wi-Fi sessions."""
    def attribute(kind: int, value: bytes) -> bytes:
        return bytes([kind, len(value) + 2]) + value

    packets = []
    for i in range(count):
        body = b"".join((
            attribute(44, b"%016x" % i), attribute(1, b"4670%07d" % i), attribute(4, b"\x0a\0\0\1"),
            attribute(31, b"4670%07d" % i), attribute(26, struct.pack(">IBB", 10415, 1, 17) + b"00101%010d" % i),
            attribute(8, struct.pack(">I", i)), attribute(40, b"\0\0\0\3"), attribute(46, struct.pack(">I", i % 3600)),
            attribute(42, struct.pack(">I", i)), attribute(43, struct.pack(">I", 3 * i)),
            attribute(55, struct.pack(">I", 1772366400 + i % 3600))))
        packets.append(struct.pack(">BBH", 4, i & 255, 20 + len(body)) + bytes(16) + body)
    return b"".join(packets)


FORMATS: dict[str, Callable[[int], bytes]] = {"voip-csv": voip_csv, "chf-json": chf_json, "radius-accounting": radius}


def measure(name: str, records: int = 2_000, repeat: int = 1) -> Measured:
    """Decode a generated file of `records` records `repeat` times; the fastest counts."""
    buffer: U8 = np.frombuffer(FORMATS[name](records), np.uint8)
    form = load_format(name)
    frame = form.inspect(buffer)
    walls, cpus, checksum, rows, found = [], [], 0, 0, 0
    for _ in range(repeat):
        at, checksum, rows, found = frame.body_start, 0, 0, 0
        wall, cpu = time.perf_counter(), time.thread_time()
        parts = []
        while at < frame.body_end:
            decoded = form.decode(buffer, at, frame.body_end, 65_536)
            at, rows, found = decoded.next_offset, rows + len(decoded.cells), found + decoded.record_count
            parts.append(decoded.cells.matrix)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.thread_time() - cpu)
        for part in parts:
            checksum = zlib.crc32(np.ascontiguousarray(part.T).tobytes(), checksum)
    return Measured(name, found, rows, frame.body_end - frame.body_start, min(walls), min(cpus), checksum)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--format", choices=sorted(FORMATS))
    parser.add_argument("--smoke", action="store_true", help="a few rows, to see that it runs")
    given = parser.parse_args()
    if given.smoke:
        given.records = 500
    for name in [given.format] if given.format else FORMATS:
        m = measure(name, given.records, given.repeat)
        print(f"{name:18s} {m.records / m.wall_s:12,.0f} records/s wall  {m.records / m.cpu_s:12,.0f} cpu  "
              f"{m.rows / m.cpu_s:12,.0f} rows/s  {m.octets / m.cpu_s / 1e6:8.0f} MB/s  checksum {m.checksum:08x}")


if __name__ == "__main__":
    main()
