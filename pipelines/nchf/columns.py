"""A tick's rows as columns: identities become tokens, names labels, other parties what the number plan says of them."""

import re

import numpy as np

from mediation.memory import Lexicon
from mediation.normalise import TokenKey
from mediation.online import identify
from mediation.tokens import Sightings
from pipelines.nchf.requests import COLUMNS, NUMBERS, Rows, Texts
from reference_data.snapshot import Snapshot
from schemas.codes import NumberType
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.hashing import bytes_hash_nb
from schemas.online import REQUEST
from schemas.parties import PARTIES

_PLACES = np.array([REQUEST.index(name) for name in COLUMNS])
_WIDTH = len(COLUMNS) + len(NUMBERS)
_NUMBER, _NUMBER_TYPE, _IMSI, _IMEI, _OTHER, _OTHER_TYPE = (PARTIES.index(name) for name in (
    "served_number", "served_number_type", "served_imsi", "served_imei", "other_number", "other_number_type"))
_ZERO = [REQUEST.index(name) for name in ("file_id", "record_offset", "record_length", "container_index",
                                          "event_id_hi", "event_id_lo", "incomplete")]
_INTERNATIONAL, _TEXT = int(NumberType.INTERNATIONAL), int(NumberType.TEXT)
_DNN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,98}[a-z0-9])?")
_OPERATOR_PART = re.compile(r"\.mnc\d{2,3}\.mcc\d{3}\.gprs$")  # TS 23.003 9.1; what names the network stands before
# Seeds of keys of texts, as `mediation.kernels.keys` has them: an ICID's key is the same online and in records.
_HI_SEED, _LO_SEED = np.uint64(0x9AE16A3B2F90404F), np.uint64(0xC3A5C85C97CB3127)


class Columns:
    """Turns rows into REQUEST cells. most: names that become labels; further ones are left out."""

    def __init__(self, token_key: TokenKey, lexicon: Lexicon, source: str, most: int) -> None:
        self._key, self._lexicon, self._most = token_key, lexicon, most
        self.source = lexicon.label("source", source)
        self._dnn: dict[str, int] = {}
        self._octets: dict[bytes, int] = {}

    def cells(self, rows: Rows, reference: Snapshot) -> tuple[Cells, Sightings]:
        """REQUEST rows, in order, and numbers that this process met first."""
        table = np.array(rows.flat, np.int64).reshape(rows.count, _WIDTH).T
        cells = Cells.empty(REQUEST, rows.count, fill=ABSENT)
        matrix = cells.matrix
        matrix[_PLACES] = table[:len(COLUMNS)]
        matrix[_ZERO] = 0
        cells["source"], cells["merged_count"] = self.source, 1
        texts, buffer = rows.texts, bytearray()
        apn = cells["apn"]
        for row, name in texts.dnn:
            apn[row] = self.label(name)
        if texts.icid:
            self._icids(texts, cells)
        parties = np.full((len(PARTIES), rows.count), ABSENT, np.int64)
        parties[[_NUMBER, _IMSI, _IMEI]] = table[len(COLUMNS):]
        parties[_NUMBER_TYPE] = _INTERNATIONAL
        for column, named in ((_NUMBER, texts.served), (_OTHER, texts.other)):
            for row, name in named:
                parties[column, row], parties[column + 1, row] = _add(buffer, name), _TEXT
        return cells, self.identified(cells, parties, np.frombuffer(bytes(buffer), np.uint8), reference)

    def identified(self, cells: Cells, parties: I64, buffer: U8, reference: Snapshot) -> Sightings:
        """Fill in what follows from the parties; see `identify`."""
        return identify(cells, parties, buffer, reference, self._key, self._lexicon)

    def label(self, dnn: str) -> int:
        """Label of a DNN, ABSENT for one that is none, or one too many."""
        found = self._dnn.get(dnn)
        return self._new_dnn(dnn) if found is None else found

    def label_of(self, dnn: bytes) -> int:
        """The same, of octets of ASCII."""
        found = self._octets.get(dnn)
        if found is None:
            found = self.label(dnn.decode("ascii"))
            if found != ABSENT:
                self._octets[dnn] = found
        return found

    def _new_dnn(self, name: str) -> int:
        plain = _OPERATOR_PART.sub("", name.lower())
        if len(self._dnn) >= self._most or not _DNN.fullmatch(plain):
            return ABSENT
        label = self._dnn[name] = self._lexicon.label("apn", plain)
        return label

    @staticmethod
    def _icids(texts: Texts, cells: Cells) -> None:
        for row, name in texts.icid:
            cells["icid_hi"][row], cells["icid_lo"][row] = icid_key(name)


def _add(buffer: bytearray, text: str) -> int:
    """Reference to a text that is put behind the others."""
    octets = text.encode("utf-8", "backslashreplace")
    start = len(buffer)
    buffer += octets
    return start << 16 | len(octets)


def icid_key(icid: str) -> tuple[int, int]:
    """128-bit key of an IMS charging identifier, as records of IMS nodes have it."""
    octets = np.frombuffer(icid.encode("utf-8", "backslashreplace"), np.uint8)
    hi, lo = (int(bytes_hash_nb(octets, 0, octets.size, seed)) for seed in (_HI_SEED, _LO_SEED))
    return hi - (hi >> 63 << 64), lo - (lo >> 63 << 64)
