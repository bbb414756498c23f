"""A tick's rows as columns: identities become tokens, names labels, other parties what the number plan says of them."""

import hashlib
import re

import numpy as np

from mediation.kernels import numbers, parties, tokens
from pipelines.nchf.requests import COLUMNS, Rows, Texts
from pipelines.nchf.service import Words
from reference_data.inventory import NOW
from reference_data.snapshot import Snapshot
from schemas.codes import Identity, NumberType
from schemas.columns import ABSENT, I64, Cells
from schemas.online import REQUEST

_PLACES = np.array([REQUEST.index(name) for name in COLUMNS])
_WIDTH = len(COLUMNS)
_IDENTITIES = (("imsi_token", Identity.IMSI), ("msisdn_token", Identity.MSISDN), ("imei_token", Identity.IMEI))
_DNN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,98}[A-Za-z0-9])?")
_OPERATOR_PART = re.compile(r"\.mnc\d{2,3}\.mcc\d{3}\.gprs$")  # TS 23.003 9.1; what names the network stands before


class Columns:
    """Turns rows into REQUEST cells. Remembers labels of names: at most `most` of them, further ones are left out."""

    def __init__(self, words: Words, source: str, most: int) -> None:
        self._key = np.uint64(words.token_key[0]), np.uint64(words.token_key[1])
        self._label, self._most = words.label, most
        self._source = words.label("source", source)
        self._dnn: dict[str, int] = {}
        self._networks: dict[str, int] = {}

    def cells(self, rows: Rows, reference: Snapshot) -> Cells:
        """REQUEST rows, in order."""
        cells = Cells.empty(REQUEST, rows.count, fill=ABSENT)
        cells.matrix[_PLACES] = np.array(rows.flat, np.int64).reshape(rows.count, _WIDTH).T
        cells["source"] = self._source
        cells["file_id"] = cells["record_offset"] = cells["record_length"] = cells["container_index"] = 0
        cells["event_id_hi"] = cells["event_id_lo"] = 0
        cells["merged_count"], cells["incomplete"] = 1, 0
        for name, kind in _IDENTITIES:
            column = cells[name]
            tokens.tokens_nb(column.copy(), int(kind), *self._key, column)
        texts = rows.texts
        apn = cells["apn"]
        for row, name in texts.dnn:
            found = self._dnn.get(name)
            apn[row] = self._new_dnn(name) if found is None else found
        if texts.icid:
            self._icids(texts, cells)
        if texts.served:
            self._served(texts, cells, reference)
        if texts.other:
            self._others(texts, cells, reference)
        return cells

    def _new_dnn(self, name: str) -> int:
        plain = _OPERATOR_PART.sub("", name.lower())
        if len(self._dnn) >= self._most or not _DNN.fullmatch(plain):
            return ABSENT
        label = self._dnn[name] = self._label("apn", plain)
        return label

    @staticmethod
    def _icids(texts: Texts, cells: Cells) -> None:
        for row, name in texts.icid:
            cells["icid_hi"][row], cells["icid_lo"][row] = icid_key(name)

    def _served(self, texts: Texts, cells: Cells, reference: Snapshot) -> None:
        """A subscriber known by a name has the token of that text, as records of other elements give it."""
        rows = np.array([row for row, _ in texts.served], np.int64)
        value, kind = self._numbers([name for _, name in texts.served], reference)
        found, identity = np.empty(rows.size, np.int64), np.empty(rows.size, np.int64)
        tokens.number_tokens_nb(value, kind, int(Identity.MSISDN), *self._key, found, identity)
        cells["msisdn_token"][rows] = found

    def _others(self, texts: Texts, cells: Cells, reference: Snapshot) -> None:
        plan, ported = reference.number_plan, reference.inventory.ported
        rows = np.array([row for row, _ in texts.other], np.int64)
        value, kind = self._numbers([name for _, name in texts.other], reference)
        token, identity, prefix, network = (np.empty(rows.size, np.int64) for _ in range(4))
        tokens.number_tokens_nb(value, kind, int(Identity.MSISDN), *self._key, token, identity)
        parties.kept_prefix_nb(value, kind, reference.deck_prefixes.slots, reference.deck_prefixes.leaves, prefix)
        parties.networks_nb(value, kind, token, cells["event_time_us"][rows], plan.network_prefixes.slots,
                            plan.network_prefixes.leaves, self._labels(plan.networks), ported.directory, ported.shift,
                            ported.rows, self._labels(reference.inventory.networks), NOW, network)
        cells["other_token"][rows], cells["other_prefix"][rows], cells["other_network"][rows] = token, prefix, network
        cells["other_class"][rows] = np.where(kind == numbers.BAD, ABSENT, kind)

    @staticmethod
    def _numbers(texts: list[str], reference: Snapshot) -> tuple[I64, I64]:
        """Values and classes of numbers as they were written."""
        plan = reference.number_plan
        octets = [text.encode("utf-8", "backslashreplace") for text in texts]
        starts = np.cumsum([0, *(len(text) for text in octets[:-1])])
        raw = (starts << 16 | np.array([len(text) for text in octets])).astype(np.int64)
        value, kind, text = (np.empty(raw.size, np.int64) for _ in range(3))
        numbers.numbers_nb(np.frombuffer(b"".join(octets), np.uint8), raw, np.full(raw.size, int(NumberType.TEXT)),
                           plan.rules, plan.emergency, plan.classes.slots, plan.classes.leaves, value, kind, text)
        return value, kind

    def _labels(self, names: tuple[str, ...]) -> I64:
        known = self._networks
        for name in names:
            if name not in known:
                known[name] = self._label("other_network", name)
        return np.array([known[name] for name in names], np.int64)


def icid_key(icid: str) -> tuple[int, int]:
    """128-bit key of an IMS charging identifier."""
    raw = hashlib.blake2b(icid.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(raw[:8], "little", signed=True), int.from_bytes(raw[8:], "little", signed=True)
