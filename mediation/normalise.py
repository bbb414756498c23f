"""Decoded containers to usage events: numbers to E.164, times and quantities checked, identities to tokens."""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from mediation.kernels import events, keys, numbers, parties, tokens
from mediation.memory import Lexicon
from mediation.tokens import Sightings
from reference_data.inventory import NOW
from reference_data.snapshot import Snapshot
from reference_data.streams import Stream
from schemas.codes import Identity, Reason
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.decoded import DECODED
from schemas.digits import pack
from schemas.errors import FormatError
from schemas.usage import KEY, USAGE

TokenKey = tuple[int, int]
_SECOND_US = 1_000_000
_COPIED = ("record_offset", "record_length", "container_index", "record_type", "service", "direction", "duration_s",
           "uplink_octets", "downlink_octets", "other_number_type", "gateway_address", "charging_id", "rating_group",
           "service_identifier", "partial_sequence", "local_sequence", "cause_for_closing", "serving_plmn", "rat_type")
_NOT_RESOLVED = ("account_id", "service_id", "group_id", "lane")
_TEXT_COLUMNS = ("session_text", "apn_text")
_NUMBER_COLUMNS = ("served_number", "other_number", "forwarded_number")
_OF_THE_FILE = ("status", "status_offset", "record_offset", "record_length", "served_address_text",
                *(f"{name}_type" for name in _NUMBER_COLUMNS))
_NO_CONTENT = ("segments", "slice_type", "slice_differentiator", "category_text")  # younger than kept contents
_MOST_SLICE_TYPE, _NO_DIFFERENTIATOR = 255, 0xFFFFFF


@dataclass(frozen=True)
class Normalised:
    """One row per container, in the order of `decoded`.

    reason: `Reason`, OK where the event can go on. filtered: `FilterReason` of what is not to be charged, else ABSENT.
    fault_offset: where in the file it went wrong, else ABSENT.
    """

    usage: Cells
    key: Cells
    reason: I64
    fault_offset: I64
    filtered: I64
    sightings: Sightings


@cache
def node_of(source: str) -> int:
    """Number of a network element, the same in every process: 63 bits of its name's hash."""
    return int.from_bytes(hashlib.blake2b(source.encode(), digest_size=8).digest(), "little") >> 1


@cache
def _column_kinds() -> I64:
    """How the meaning of every DECODED column is read, for `kernels.keys`."""
    kinds = np.full(len(DECODED.columns), keys.PLAIN_COLUMN, np.int64)
    for name in _TEXT_COLUMNS:
        kinds[DECODED.index(name)] = keys.TEXT_COLUMN
    for name in _NUMBER_COLUMNS:
        kinds[DECODED.index(name)] = keys.NUMBER_COLUMN
        if DECODED.index(f"{name}_type") != DECODED.index(name) + 1:
            raise FormatError("the type of a number must follow it in DECODED")
    kinds[DECODED.index("served_address")] = keys.ADDRESS_COLUMN
    for name in (*_OF_THE_FILE, *_NO_CONTENT):
        kinds[DECODED.index(name)] = keys.SKIPPED_COLUMN
    return kinds


def key_columns(record_key: tuple[str, ...]) -> I64:
    """Columns of a layout's record key as places in DECODED, (4,), ABSENT for fewer. Raises FormatError."""
    if not 1 <= len(record_key) <= 4:
        raise FormatError(f"a record key of {len(record_key)} columns", "1 to 4, the first one a time")
    places = np.full(4, ABSENT, np.int64)
    for i, name in enumerate(record_key):
        if name not in DECODED.names:
            raise FormatError(f"record key column {name!r}", f"one of {', '.join(DECODED.names)}")
        places[i] = DECODED.index(name)
    if DECODED.columns[places[0]].kind != "time":
        raise FormatError(f"record key begins with {record_key[0]!r}", "a time: it chooses the day that is searched")
    return places


def normalise(decoded: Cells, buffer: U8, source: str, file_id: int, file_time_us: int, stream: Stream,
              record_key: tuple[str, ...], snapshot: Snapshot, token_key: TokenKey, lexicon: Lexicon) -> Normalised:
    """Usage events of one slice of one file.

    decoded: DECODED rows, text references into `buffer`. file_time_us: time that the file declares, or ABSENT, when
    clocks are not checked. `lexicon` learns labels and tokens; nothing else is changed.
    """
    rows = len(decoded)
    usage = Cells.empty(USAGE, rows)
    key = Cells.empty(KEY, rows)
    reason, fault, filtered = (np.empty(rows, np.int64) for _ in range(3))
    node = node_of(source)
    usage["source"] = lexicon.label("source", source)
    usage["file_id"] = file_id
    for name in _COPIED:
        usage[name] = decoded[name]
    for name in _NOT_RESOLVED:
        usage[name] = ABSENT
    usage["merged_count"] = 1
    usage["incomplete"] = 0

    limits = np.array([stream.limits.duration_s, stream.limits.octets, stream.limits.messages,
                       stream.clock_tolerance_s * _SECOND_US, file_time_us, stream.filter_mask, 0], np.int64)
    events.measure_nb(decoded.matrix, limits, np.array(snapshot.operator.home_plmn_numbers, np.int64), usage.matrix,
                      reason, fault)
    sightings, foreign = parties_of(decoded, buffer, snapshot, token_key, lexicon, usage, reason)
    usage["apn"] = lexicon.apns.labels(buffer, decoded["apn_text"])
    usage["category"] = lexicon.categories.labels(buffer, decoded["category_text"])
    usage["snssai"] = slice_of(decoded["slice_type"], decoded["slice_differentiator"])
    usage["segments"] = np.where(decoded["segments"] > 0, decoded["segments"], ABSENT)
    plmns = snapshot.operator.home_plmns
    events.filter_nb(decoded.matrix, usage.matrix, np.array([pack(p) for p in plmns], np.int64),
                     np.array([len(p) for p in plmns], np.int64), np.array(stream.role_codes, np.int64),
                     np.array(stream.charge_record_types, np.int64), np.array(stream.charge_roles, np.int64),
                     stream.filter_mask, foreign, filtered)
    filtered[reason != Reason.OK] = ABSENT
    newly = (reason != Reason.OK) & (fault == ABSENT)
    fault[newly] = usage["record_offset"][newly]

    columns = key_columns(record_key)
    record = np.empty(rows, np.int64)
    content = np.empty(keys.records_nb(decoded.matrix, record), np.uint64)
    keys.contents_nb(buffer, decoded.matrix, _column_kinds(), record, content)
    keys.record_keys_nb(buffer, decoded.matrix, _column_kinds(), columns, record, content, node, key.matrix)
    keys.identities_nb(buffer, decoded.matrix, key.matrix, node, file_id, usage.matrix)
    missing = (key["key_time_us"] == ABSENT) & (reason == Reason.OK)
    if missing.any():
        reason[missing] = Reason.MISSING_FIELD
        fault[missing] = usage["record_offset"][missing]
        filtered[missing] = ABSENT
    return Normalised(usage, key, reason, fault, filtered, sightings)


def slice_of(slice_type: I64, differentiator: I64) -> I64:
    """S-NSSAI as usage holds it, SST << 32 | (SD + 1, 0 for none); ABSENT where the network wrote none that can be."""
    named = (differentiator >= 0) & (differentiator < _NO_DIFFERENTIATOR)
    found: I64 = np.where((slice_type >= 0) & (slice_type <= _MOST_SLICE_TYPE),
                          (slice_type << 32) + np.where(named, differentiator + 1, 0), ABSENT)
    return found


def parties_of(decoded: Cells, buffer: U8, snapshot: Snapshot, token_key: TokenKey, lexicon: Lexicon, usage: Cells,
               reason: I64) -> tuple[Sightings, I64]:
    """Numbers, tokens, prefix and network of the parties; BAD_NUMBER and TOKEN_COLLISION into `reason`.

    Returns first sightings, and 1 for every row whose served number is foreign.
    """
    rows = len(decoded)
    plan = snapshot.number_plan
    k0, k1 = np.uint64(token_key[0]), np.uint64(token_key[1])
    collides = np.zeros(rows, np.uint8)
    seen: list[Sightings] = []
    classes: dict[str, I64] = {}
    values: dict[str, I64] = {}
    no_text = np.full(rows, ABSENT, np.int64)
    for column, target in (("served_number", "msisdn_token"), ("other_number", "other_token"),
                           ("forwarded_number", "forwarded_token")):
        value, kind, text = (np.empty(rows, np.int64) for _ in range(3))
        numbers.numbers_nb(buffer, decoded[column], decoded[f"{column}_type"], plan.rules, plan.emergency,
                           plan.classes.slots, plan.classes.leaves, value, classes.setdefault(column, kind), text)
        identity = np.empty(rows, np.int64)
        tokens.number_tokens_nb(value, kind, int(Identity.MSISDN), k0, k1, usage[target], identity)
        seen.append(lexicon.tokens.remember(buffer, usage[target], identity, value, text, collides))
        values[column] = value
    for column, target, kind_of in (("served_imsi", "imsi_token", Identity.IMSI),
                                    ("served_imei", "imei_token", Identity.IMEI)):
        tokens.tokens_nb(decoded[column], int(kind_of), k0, k1, usage[target])
        seen.append(lexicon.tokens.remember(buffer, usage[target], np.full(rows, int(kind_of), np.int64),
                                            decoded[column], no_text, collides))
    address, text = np.empty(rows, np.int64), np.empty(rows, np.int64)
    tokens.addresses_nb(buffer, decoded["served_address"], decoded["served_address_text"], address, text)
    tokens.tokens_nb(address, int(Identity.IP_ADDRESS), k0, k1, usage["address_token"])
    seen.append(lexicon.tokens.remember(buffer, usage["address_token"],
                                        np.full(rows, int(Identity.IP_ADDRESS), np.int64), address, text, collides))

    other, other_class = values["other_number"], classes["other_number"]
    parties.kept_prefix_nb(other, other_class, snapshot.deck_prefixes.slots, snapshot.deck_prefixes.leaves,
                           usage["other_prefix"])
    parties.calling_prefix_nb(values["served_number"], classes["served_number"], usage["direction"],
                              usage["other_prefix"], snapshot.deck_prefixes.slots, snapshot.deck_prefixes.leaves,
                              usage["calling_prefix"])
    ported = snapshot.inventory.ported
    parties.networks_nb(other, other_class, usage["other_token"], usage["event_time_us"], plan.network_prefixes.slots,
                        plan.network_prefixes.leaves, _labels(lexicon, plan.networks), ported.directory, ported.shift,
                        ported.rows, _labels(lexicon, snapshot.inventory.networks), NOW, usage["other_network"])
    foreign = np.empty(rows, np.int64)
    holders = snapshot.inventory.holders
    parties.foreign_numbers_nb(values["served_number"], classes["served_number"], usage["msisdn_token"], plan.rules,
                               holders.directory, holders.shift, holders.rows, snapshot.changes.slots,
                               snapshot.changes.points, foreign)
    events.refuse_numbers_nb(decoded.matrix, classes["served_number"], other_class,
                             classes["forwarded_number"], reason)
    usage["other_class"] = np.where(other_class == numbers.BAD, ABSENT, other_class)
    if collides.any():
        reason[(collides == 1) & (reason == Reason.OK)] = Reason.TOKEN_COLLISION
    return Sightings.concat([s for s in seen if len(s)]), foreign


def _labels(lexicon: Lexicon, names: tuple[str, ...]) -> I64:
    return np.array([lexicon.label("other_network", name) for name in names], np.int64)
