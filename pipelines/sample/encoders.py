"""Which encoder writes an element's records: rows to octets, in pieces that bound memory."""

from collections.abc import Callable, Iterator

import numpy as np

from pipelines.sample.kernels.ber_write import MAX_RECORD
from pipelines.sample.kernels.gateway_records import encode_gateway_nb
from pipelines.sample.kernels.voip_lines import HEADER, MAX_LINE, encode_voip_nb
from schemas.columns import I64, U8

PIECE = 1 << 14  # rows encoded at a time
Encoder = Callable[[I64, I64, "Node", U8, I64], int]


class Node:
    """One element: its name as octets, its IPv4 address, that of its peer."""

    def __init__(self, name: str) -> None:
        stem, number = name.rsplit("-", 1)
        self.name, self.stem = name, stem
        self.text = np.frombuffer(name.encode(), np.uint8)
        self.address = (10 << 24) + (0 << 16) + (sum(map(ord, stem)) & 255) * 256 + int(number)
        # The peer stands in the next network: SGW of a PGW, MME of an SGW.
        self.peer = (10 << 24) + (1 << 16) + int(number)


def _gateway(pgw: int) -> Encoder:
    def encode(rows: I64, zone: I64, node: Node, out: U8, offsets: I64) -> int:
        return int(encode_gateway_nb(rows, zone, node.text, node.address, node.peer, pgw, out, offsets))
    return encode


def _voip(rows: I64, zone: I64, node: Node, out: U8, offsets: I64) -> int:
    return int(encode_voip_nb(rows, node.text, out, offsets))


ENCODERS: dict[str, tuple[Encoder, int]] = {
    "pgw": (_gateway(1), MAX_RECORD), "sgw": (_gateway(0), MAX_RECORD), "voip": (_voip, MAX_LINE),
}
HEADS = {"voip": HEADER}


def encode(rows: I64, zone: I64, node: Node) -> Iterator[tuple[U8, I64, int, int]]:
    """Records of `rows` ([E_..., row], in order): (octets, offsets, first row, rows) piece by piece."""
    encoder, octets_a_row = ENCODERS[node.stem]
    count = rows.shape[1]
    out = np.empty(min(count, PIECE) * octets_a_row, np.uint8)
    for start in range(0, count, PIECE):
        piece = np.ascontiguousarray(rows[:, start:start + PIECE])
        offsets = np.empty(piece.shape[1] + 1, np.int64)
        encoder(piece, zone, node, out, offsets)
        yield out, offsets, start, piece.shape[1]
