"""Which encoder writes an element's records: rows to octets, in pieces that bound memory."""

from collections.abc import Callable, Iterator

import numpy as np

from pipelines.sample.kernels.accounting_packets import MAX_PACKET, encode_packets_nb
from pipelines.sample.kernels.ber_write import MAX_RECORD
from pipelines.sample.kernels.charging_function_records import encode_chf_nb
from pipelines.sample.kernels.circuit_records import encode_circuit_nb
from pipelines.sample.kernels.gateway_records import encode_gateway_nb
from pipelines.sample.kernels.ims_records import encode_ims_nb
from pipelines.sample.kernels.message_records import encode_messages_nb
from pipelines.sample.kernels.usage_lines import MAX_USAGE_LINE, encode_usage_nb
from pipelines.sample.kernels.voip_lines import HEADER, MAX_LINE, encode_voip_nb
from pipelines.sample.population import COUNTRY_CODE
from schemas.columns import I64, U8
from schemas.digits import pack

PIECE = 1 << 14  # rows encoded at a time
STEMS = ("msc", "smsc", "scscf", "pcscf", "as", "mgcf", "pgw", "sgw", "chf", "nchf", "voip", "wifi", "mme", "smf")
Encoder = Callable[[I64, I64, "Node", U8, I64], int]


class Node:
    """One element: its name as octets, its IPv4 address, that of its peer."""

    def __init__(self, name: str) -> None:
        stem, number = name.rsplit("-", 1)
        self.name, self.stem = name, stem
        self.text = np.frombuffer(name.encode(), np.uint8)
        self.number = int(number)
        self.address = self.address_of(stem)
        self.entity = pack(f"{COUNTRY_CODE}60000{STEMS.index(stem):02d}{self.number:02d}")  # E.164 of the element

    def address_of(self, stem: str) -> int:
        """IPv4 of the element of that kind that serves the same region."""
        return (10 << 24) + (255 << 16) + (STEMS.index(stem) << 8) + self.number


def _gateway(pgw: int) -> Encoder:
    def encode(rows: I64, zone: I64, node: Node, out: U8, offsets: I64) -> int:
        pgw_address = node.address_of("pgw")
        peer = node.address_of("sgw") if pgw else node.address_of("mme")
        return int(encode_gateway_nb(rows, zone, node.text, node.address, peer, pgw_address, pgw, out, offsets))
    return encode


def _ims(tag: int) -> Encoder:
    def encode(rows: I64, zone: I64, node: Node, out: U8, offsets: I64) -> int:
        generator = np.frombuffer(f"pcscf-{node.number:02d}".encode(), np.uint8)
        return int(encode_ims_nb(rows, zone, node.text, generator, tag, out, offsets))
    return encode


def _circuit(rows: I64, zone: I64, node: Node, out: U8, offsets: I64) -> int:
    return int(encode_circuit_nb(rows, zone, node.entity, out, offsets))


def _messages(rows: I64, zone: I64, node: Node, out: U8, offsets: I64) -> int:
    return int(encode_messages_nb(rows, zone, node.entity, out, offsets))


def _chf(rows: I64, zone: I64, node: Node, out: U8, offsets: I64) -> int:
    return int(encode_chf_nb(rows, zone, node.text, node.address_of("smf"), out, offsets))


def _usage(rows: I64, _zone: I64, node: Node, out: U8, offsets: I64) -> int:
    return int(encode_usage_nb(rows, node.text, node.address_of("smf"), out, offsets))


def _voip(rows: I64, _zone: I64, node: Node, out: U8, offsets: I64) -> int:
    return int(encode_voip_nb(rows, node.text, out, offsets))


def _packets(rows: I64, _zone: I64, node: Node, out: U8, offsets: I64) -> int:
    return int(encode_packets_nb(rows, node.text, node.address, out, offsets))


ENCODERS: dict[str, tuple[Encoder, int]] = {  # stem: encoder, octets of room per row
    "msc": (_circuit, MAX_RECORD), "smsc": (_messages, MAX_RECORD),
    "scscf": (_ims(63), MAX_RECORD), "pcscf": (_ims(64), MAX_RECORD), "mgcf": (_ims(67), MAX_RECORD),
    "as": (_ims(69), MAX_RECORD),
    "pgw": (_gateway(1), MAX_RECORD), "sgw": (_gateway(0), MAX_RECORD), "chf": (_chf, MAX_RECORD),
    "nchf": (_usage, MAX_USAGE_LINE), "voip": (_voip, MAX_LINE), "wifi": (_packets, MAX_PACKET),
}
HEADS = {"voip": HEADER}
TAILS = {"voip": "TRAILER,{records}\n"}


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
