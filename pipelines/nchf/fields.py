"""What the reader of plain bodies knows of messages: tables made of the types that the slower reader decodes to.

There is one description of what is read, `messages`; which of it is kept for rows, and where, is said here.
"""

from dataclasses import dataclass
from functools import cache

import msgspec
import numpy as np
from msgspec import inspect

from pipelines.nchf.kernels import places as p
from pipelines.nchf.kernels.plain import mark_nb
from pipelines.nchf.messages import ChargingDataRequest
from pipelines.nchf.requests import OFFLINE, RATS, REASONS, TARIFF_CHANGE
from schemas.columns import ABSENT, I64, U8

_LONGEST = 0xFFFF
_HEXADECIMAL = "^[0-9A-Fa-f]*$"
_SESSION = "pDUSessionChargingInformation"
_ABOUT = f"{_SESSION}.pduSessionInformation"
_PLACE = f"{_SESSION}.userLocationinfo"
_FUNCTION = f"{_ABOUT}.servingNetworkFunctionID.servingNetworkFunctionInformation.nFPLMNID"
_UNIT, _USED = "multipleUnitUsage", "multipleUnitUsage.usedUnitContainer"
_KEPT = {
    "subscriberIdentifier": p.P_SUBSCRIBER, "chargingId": p.P_CHARGING_ID, "oneTimeEvent": p.P_ONE_TIME,
    "invocationTimeStamp": p.P_TIME, "invocationSequenceNumber": p.P_NUMBER, "notifyUri": p.P_URI,
    "nfConsumerIdentification.nFIPv4Address": p.P_GATEWAY, _SESSION: p.P_SESSION,
    f"{_SESSION}.chargingId": p.P_SESSION_CHARGING_ID, f"{_SESSION}.userInformation.servedGPSI": p.P_GPSI,
    f"{_SESSION}.userInformation.servedPEI": p.P_PEI, f"{_ABOUT}.dnnId": p.P_DNN,
    f"{_ABOUT}.servingCNPlmnId.mcc": p.P_SERVING_MCC, f"{_ABOUT}.servingCNPlmnId.mnc": p.P_SERVING_MNC,
    f"{_FUNCTION}.mcc": p.P_FUNCTION_MCC, f"{_FUNCTION}.mnc": p.P_FUNCTION_MNC,
    f"{_PLACE}.nrLocation.tai.plmnId.mcc": p.P_NR_MCC, f"{_PLACE}.nrLocation.tai.plmnId.mnc": p.P_NR_MNC,
    f"{_PLACE}.eutraLocation.tai.plmnId.mcc": p.P_EUTRA_MCC, f"{_PLACE}.eutraLocation.tai.plmnId.mnc": p.P_EUTRA_MNC,
    f"{_ABOUT}.ratType": p.P_RAT, f"{_ABOUT}.networkSlicingInfo.sNSSAI.sst": p.P_SST,
    f"{_ABOUT}.networkSlicingInfo.sNSSAI.sd": p.P_SD,
    f"{_UNIT}.ratingGroup": p.P_GROUP, f"{_UNIT}.requestedUnit": p.P_WANTED,
    f"{_UNIT}.requestedUnit.time": p.P_ASKED_TIME, f"{_UNIT}.requestedUnit.totalVolume": p.P_ASKED_TOTAL,
    f"{_UNIT}.requestedUnit.uplinkVolume": p.P_ASKED_UP, f"{_UNIT}.requestedUnit.downlinkVolume": p.P_ASKED_DOWN,
    f"{_UNIT}.requestedUnit.serviceSpecificUnits": p.P_ASKED_UNITS, f"{_UNIT}.uPFID": p.P_UPF,
    f"{_USED}.serviceId": p.P_SERVICE, f"{_USED}.quotaManagementIndicator": p.P_QUOTA, f"{_USED}.time": p.P_USED_TIME,
    f"{_USED}.totalVolume": p.P_USED_TOTAL, f"{_USED}.uplinkVolume": p.P_USED_UP,
    f"{_USED}.downlinkVolume": p.P_USED_DOWN, f"{_USED}.serviceSpecificUnits": p.P_USED_UNITS,
    f"{_USED}.eventTimeStamps": p.P_STAMPS, f"{_USED}.triggers.triggerType": p.P_TRIGGER,
    "triggers.triggerType": p.P_TRIGGER}
_EVENTS = {_UNIT: (p.OF_UNIT, *p.UNIT_PLACES), _USED: (p.OF_CONTAINER, *p.CONTAINER_PLACES),
           f"{_USED}.triggers": (p.OF_CONTAINER_TRIGGER, *p.TRIGGER_PLACES),
           "triggers": (p.OF_REQUEST_TRIGGER, *p.TRIGGER_PLACES)}
_ELSEWHERE = ("sMSChargingInformation", "iMSChargingInformation")  # other services: the slower reader's
_WORDS = {p.REASONS: {**REASONS, TARIFF_CHANGE: p.CHANGE}, p.RATS: RATS, p.OFFLINE: dict.fromkeys(OFFLINE, 1),
          p.PREFIXES: {"imsi-": 0, "msisdn-": 1, "imei-": 2}}


@dataclass(frozen=True)
class Tables:
    """Arguments of `kernels.block.read_nb`, in its order."""

    fields: I64
    slots: I64
    nodes: I64
    pool: U8
    words: I64
    codes: I64


class _Maker:
    def __init__(self) -> None:
        self.pool = bytearray()
        self.fields: list[list[int]] = []
        self.nodes: list[list[int]] = []
        self.kept: set[str] = set()

    def node(self, kind: inspect.StructType, path: str) -> int:
        """An object and all that is in it; its row."""
        row = len(self.nodes)
        self.nodes.append([0, *_EVENTS.get(path, (p.NO_EVENT, 0, 0))])
        for number, field in enumerate(kind.fields):
            where = f"{path}.{field.encode_name}" if path else field.encode_name
            if field.required:
                self.nodes[row][p.N_REQUIRED] |= 1 << number
            what, child, least, most = self.kind(field.type, where, field.encode_name)
            name = field.encode_name.encode()
            if where in _KEPT:
                self.kept.add(where)
            self.fields.append([row, self.text(name), len(name), what, child, least, most, 1 << number,
                                _KEPT.get(where, ABSENT)])
        return row

    def text(self, name: bytes) -> int:
        self.pool += name
        return len(self.pool) - len(name)

    def kind(self, kind: inspect.Type, path: str, name: str) -> tuple[int, int, int, int]:
        """What a field is, the object it leads to, and its bounds."""
        if isinstance(kind, inspect.UnionType):
            some = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
            return self.kind(some[0], path, name) if len(some) == 1 else (p.OTHER, ABSENT, 0, 0)
        if name in _ELSEWHERE:
            return p.OTHER, ABSENT, 0, 0
        if isinstance(kind, inspect.StrType) and kind.pattern in (None, _HEXADECIMAL):
            return (p.STRING if kind.pattern is None else p.HEXADECIMAL, ABSENT, kind.min_length or 0,
                    kind.max_length or _LONGEST)
        if isinstance(kind, inspect.IntType) and (kind.gt, kind.lt, kind.multiple_of) == (None, None, None):
            return (p.INTEGER, ABSENT, 0 if kind.ge is None else max(int(kind.ge), 0),
                    (1 << 63) - 1 if kind.le is None else int(kind.le))
        if isinstance(kind, inspect.BoolType):
            return p.BOOLEAN, ABSENT, 0, 0
        if isinstance(kind, inspect.DateTimeType) and kind.tz is True:
            return p.TIME, ABSENT, 0, 0
        if isinstance(kind, inspect.StructType):
            return p.OBJECT, self.node(kind, path), 0, 0
        if isinstance(kind, inspect.ListType) and (kind.min_length, kind.max_length) == (None, None):
            what, child, _, _ = self.kind(kind.item_type, path, name)
            if what in (p.OBJECT, p.TIME):
                return (p.OBJECTS if what == p.OBJECT else p.TIMES), child, 0, 0
        return p.OTHER, ABSENT, 0, 0


@cache
def tables() -> Tables:
    """Made once."""
    maker = _Maker()
    kind = inspect.type_info(ChargingDataRequest)
    assert isinstance(kind, inspect.StructType)
    maker.node(kind, "")
    if maker.kept != _KEPT.keys():
        raise msgspec.ValidationError(f"no such fields: {sorted(_KEPT.keys() - maker.kept)}")
    fields = np.array(maker.fields, np.int64)
    slots = np.full(1 << (4 * len(fields)).bit_length(), ABSENT, np.int64)
    ranges = np.zeros((len(_WORDS), 2), np.int64)
    codes: list[list[int]] = []
    for table, words in _WORDS.items():
        ranges[table] = len(codes), len(codes) + len(words)
        codes += [[maker.text(word.encode()), len(word), code] for word, code in words.items()]
    pool = np.frombuffer(bytes(maker.pool), np.uint8)
    for row, field in enumerate(maker.fields):
        at, size = field[p.F_NAME], field[p.F_SIZE]
        first, middle, last = (int(pool[at + place]) for place in (0, size // 2, size - 1))
        slot = mark_nb.py_func(field[p.F_NODE], size, first, middle, last, slots.size - 1)
        while slots[slot] != ABSENT:
            slot = slot + 1 & slots.size - 1
        slots[slot] = row
    return Tables(fields, slots, np.array(maker.nodes, np.int64), pool, ranges, np.array(codes, np.int64))
