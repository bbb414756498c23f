"""A small operator for tests: its folder on disk, and decoded containers as a decoder would write them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mediation.duplicates import DuplicateIndex
from mediation.matching import OnlineMemory
from mediation.mediate import Mediated, Slice, mediate
from mediation.memory import MediationMemory
from mediation.online_usage import OnlineIndex, OnlineMerge
from mediation.partials import PartialDelta
from reference_data.snapshot import Snapshot, load_snapshot
from schemas.codes import Direction, NumberType, RecordType, Service
from schemas.columns import ABSENT, U8, Cells
from schemas.decoded import DECODED
from schemas.digits import pack
from schemas.matching import AWAITING
from schemas.online import GRANT
from schemas.usage import HELD, OPEN_SESSION

TOKEN_KEY = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
SECOND = 1_000_000
NOON = 1_792_584_000 * SECOND  # 2026-10-21 12:00 UTC
LONG_AGO = NOON - 44 * 86_400 * SECOND
TARIFF = Path(__file__).parent.parent / "reference_data/tariffs/examples/tariffs"

OPERATOR = {"name": "Small", "home_plmn": "00101", "country_code": "999", "time_zone": "Europe/Berlin",
            "currency": "EUR", "lanes": 32}
NUMBER_PLAN = {"country_code": "999", "international_prefix": "00", "national_prefix": "0",
               "emergency": ["112", "110"], "toll_free": ["800"], "premium": ["900"],
               "short_code_digits": {"min": 3, "max": 6}, "number_digits": {"min": 7, "max": 15},
               "networks": [{"prefix": "99970", "network": "home"}, {"prefix": "99971", "network": "rival"},
                            {"prefix": "34", "network": "spain"}]}
STREAMS: list[dict[str, Any]] = [
    {"name": "voice", "sources": "msc-*", "format": "ts32298-cs", "filter": ["zero_usage", "terminating"]},
    {"name": "data", "sources": "pgw-*", "format": "ts32298-gprs"},
    {"name": "merged", "sources": ["chf-*"], "format": "ts32298-chf",
     "merge": {"policy": "until_final", "timeout_s": 3600}},
    {"name": "witness", "sources": "sgw-*", "format": "ts32298-gprs", "role": "reconcile"},
    {"name": "ims", "sources": "*cscf-*", "format": "ts32298-ims",
     "charge_node": {"record_types": ["ims_s_cscf"], "node_roles": ["originating"]}},
    {"name": "wifi", "sources": "wifi-*", "format": "radius-accounting"},
]
ANNA, BEN = (1, "999700000001", "001010000000001"), (2, "999700000002", "001010000000002")


def times(start: int = LONG_AGO, stop: int | None = None, recorded: int = LONG_AGO,
          superseded: int | None = None) -> dict[str, int | None]:
    return {"valid_from": start, "valid_to": stop, "recorded_from": recorded, "recorded_to": superseded}


def account(number: int, **changes: Any) -> dict[str, Any]:
    return {"account_id": number, "customer_id": number, "group_id": number, "shared_account_id": None,
            "payment": "prepaid", "currency": "EUR", "credit_limit": "0", "opening_balance": "10.00",
            "time_zone": None, "anchor_day": 1, "state": "active", **changes}


@dataclass
class Reference:
    """Rows of the operator's folder; `write` puts them on disk, `load` gives the snapshot."""

    operator: dict[str, Any] = field(default_factory=lambda: dict(OPERATOR))
    number_plan: dict[str, Any] = field(default_factory=lambda: dict(NUMBER_PLAN))
    streams: list[dict[str, Any]] = field(default_factory=lambda: [dict(s) for s in STREAMS])
    accounts: list[dict[str, Any]] = field(default_factory=lambda: [account(1), account(2)])
    services: list[dict[str, Any]] = field(default_factory=lambda: [
        {"service_id": n + 10, "account_id": n, "kind": "mobile", **times()} for n in (1, 2)])
    resources: list[dict[str, Any]] = field(default_factory=lambda: [
        {"kind": kind, "value": value, "service_id": n + 10, **times()}
        for n, msisdn, imsi in (ANNA, BEN) for kind, value in (("msisdn", msisdn), ("imsi", imsi))])
    plans: list[dict[str, Any]] = field(default_factory=lambda: [
        {"account_id": n, "plan": "basic", **times()} for n in (1, 2)])
    ported: list[dict[str, Any]] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        for name in ("operator", "number_plan"):
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(getattr(self, name)))
        (folder / "streams.yaml").write_text(yaml.safe_dump({"streams": self.streams}))
        for name in ("accounts", "services", "resources", "plans", "ported"):
            pq.write_table(self.table(name), folder / f"{name}.parquet")
        if not (folder / "tariffs").exists():
            (folder / "tariffs").symlink_to(TARIFF)
        return folder

    def table(self, name: str) -> pa.Table:
        time = pa.timestamp("us", tz="UTC")
        interval = [(column, time) for column in times()]
        text, number = pa.string(), pa.int64()
        schema = {
            "accounts": [("account_id", number), ("customer_id", number), ("group_id", number),
                         ("shared_account_id", number), ("payment", text), ("currency", text), ("credit_limit", text),
                         ("opening_balance", text), ("time_zone", text), ("anchor_day", number), ("state", text)],
            "services": [("service_id", number), ("account_id", number), ("kind", text), *interval],
            "resources": [("kind", text), ("value", text), ("service_id", number), *interval],
            "plans": [("account_id", number), ("plan", text), *interval],
            "ported": [("number", text), ("network", text), *interval],
        }[name]
        return pa.Table.from_pylist(getattr(self, name), schema=pa.schema(schema))

    def load(self, folder: Path) -> Snapshot:
        return load_snapshot(self.write(folder), TOKEN_KEY)


class Text:
    """Collects texts into a buffer; `at` gives the reference that a decoder would write."""

    def __init__(self) -> None:
        self._octets = bytearray(b"\0")

    def at(self, text: str | bytes) -> int:
        raw = text.encode() if isinstance(text, str) else text
        self._octets += raw
        return len(self._octets) - len(raw) << 16 | len(raw)

    @property
    def buffer(self) -> U8:
        return np.frombuffer(bytes(self._octets), np.uint8)


def container(**cells: int) -> dict[str, int]:
    """One decoded container; what is not given is ABSENT. Offsets are filled by `decoded`."""
    row = dict.fromkeys(DECODED.names, ABSENT) | {"status": 0, "container_index": 0, "container_count": 1}
    unknown = set(cells) - set(row)
    assert not unknown, unknown
    return row | {name: int(value) for name, value in cells.items()}


def call(number: int = 0, start: int = NOON, duration: int = 60, called: str = "999710000005",
         **changes: int) -> dict[str, int]:
    """Anna calls: an MO call record."""
    return container(**{
        "record_type": RecordType.MO_CALL, "service": Service.VOICE, "direction": Direction.ORIGINATING,
        "start_time_us": start, "opening_time_us": start, "duration_s": duration, "served_imsi": pack(ANNA[2]),
        "served_number": pack(ANNA[1]), "served_number_type": NumberType.INTERNATIONAL,
        "other_number": pack(called), "other_number_type": NumberType.INTERNATIONAL, "local_sequence": number,
        "answered": 1, "serving_plmn": 1001} | changes)


def partial(session: int, sequence: int = ABSENT, final: bool = False, start: int = NOON, rating_group: int = 1,
            up: int = 10, down: int = 100, number: int = 0, **changes: int) -> dict[str, int]:
    """Anna's data: one container of a CHF or PGW record."""
    return container(**{
        "record_type": RecordType.PGW, "service": Service.DATA, "direction": Direction.ORIGINATING,
        "start_time_us": start, "opening_time_us": start, "uplink_octets": up, "downlink_octets": down,
        "duration_s": 60, "served_imsi": pack(ANNA[2]), "gateway_address": 1, "charging_id": session,
        "session_start_us": NOON, "rating_group": rating_group, "partial_sequence": sequence,
        "cause_for_closing": 0 if final else 16, "local_sequence": number, "serving_plmn": 1001} | changes)


def decoded(rows: list[dict[str, int]], first_offset: int = 100) -> Cells:
    """Decoded cells; rows that begin a record (container_index 0) get the next offset, 50 octets each."""
    cells = Cells.empty(DECODED, len(rows))
    offset = first_offset - 50
    for i, row in enumerate(rows):
        offset += 50 if row["container_index"] == 0 else 0
        for name in DECODED.names:
            cells[name][i] = row[name]
        cells["record_offset"][i], cells["record_length"][i] = offset, 50
    return cells


VOICE_KEY = ("start_time_us", "served_imsi", "other_number", "local_sequence")
DATA_KEY = ("opening_time_us", "charging_id", "local_sequence", "gateway_address")


def piece(snapshot: Snapshot, rows: list[dict[str, int]], source: str = "msc-01", file_id: int = 1,
          file_time_us: int = ABSENT, text: Text | None = None, first_offset: int = 100, **more: Any) -> Slice:
    stream = snapshot.streams.match(source)
    assert stream is not None
    key = VOICE_KEY if source.startswith("msc") else DATA_KEY
    return Slice(source, file_id, file_time_us, stream, key, (text or Text()).buffer, decoded(rows, first_offset),
                 **more)


class Node:
    """A mediation process: batches, what its ledger would keep of them, and restarts from that alone."""

    def __init__(self, snapshot: Snapshot, folder: Path) -> None:
        self.snapshot, self.folder, self.version = snapshot, folder, 0
        self.memory = MediationMemory(DuplicateIndex(folder))
        self.runs: list[str] = []
        self.tables: list[tuple[pa.Table, pa.Table]] = []
        self.state: dict[str, Any] = json.loads(json.dumps(self.memory.state()))
        self.results: list[Mediated] = []
        self.grants = Cells.empty(GRANT)  # what the ledger says was charged online
        self.waiting: list[pa.Table] = []
        self.online_runs: list[str] = []
        self.memory.online = self._online()

    def _online(self) -> OnlineMemory:
        def between(start: int, stop: int) -> Iterator[Cells]:
            position = self.grants["journal_position"]
            yield self.grants.where((position >= start) & (position < stop))

        return OnlineMemory(OnlineIndex(self.folder, self.online_runs), between)

    def charged_online(self, *rows: dict[str, int]) -> int:
        """Rows of `grant` that the ledger gets, each a position of the journal; returns the position behind them."""
        cells = Cells.empty(GRANT, len(rows), fill=ABSENT)
        for i, row in enumerate(rows):
            cells["journal_position"][i] = len(self.grants) + i
            for name, value in row.items():
                cells[name][i] = value
        self.grants = Cells.concat(GRANT, [self.grants, cells])
        return len(self.grants)

    def mediate(self, *slices: Slice, **more: Any) -> Mediated:
        self.version += 1
        result = mediate(slices, self.snapshot, self.memory, TOKEN_KEY, self.version, **more)
        labels = self.memory.lexicon.labels
        self.tables.append((result.partials.held.to_arrow(labels), result.partials.sessions.to_arrow(labels)))
        self.state = json.loads(json.dumps(result.state))
        if result.key_run is not None:
            (self.folder / result.key_run.name).write_bytes(result.key_run.payload)
            self.memory.duplicates.settle(result.key_run.name)
            self.runs.append(result.key_run.name)
        self.waiting.append(result.awaiting.to_arrow(labels))
        if result.online_run is not None:
            (self.folder / result.online_run.name).write_bytes(result.online_run.payload)
            self.memory.online.index.settle(result.online_run.name)
            self.online_runs.append(result.online_run.name)
        self.results.append(result)
        return result

    def restart(self, compacted: bool = False) -> None:
        """A new process; with `compacted`, from one table of all that is open instead of every batch's changes."""
        if compacted:
            everything, labels = self.memory.partials(), self.memory.lexicon.labels
            self.tables = [(everything.held.to_arrow(labels), everything.sessions.to_arrow(labels))]
            self.waiting = [self.memory.online.whole().to_arrow(labels)]
            self._merge_online()
        self.memory = MediationMemory(DuplicateIndex(self.folder, self.runs), online=self._online())
        labels = self.memory.lexicon.labels
        deltas = [PartialDelta(Cells.from_arrow(HELD, held, labels), Cells.from_arrow(OPEN_SESSION, sessions, labels))
                  for held, sessions in self.tables]
        self.memory.restore(self.state, deltas, self.snapshot,
                            [Cells.from_arrow(AWAITING, table, labels) for table in self.waiting])

    def _merge_online(self) -> None:
        """All runs of online usage as one."""
        index = self.memory.online.index
        if len(index.names) > 1:
            plan = OnlineMerge(index.names)
            name = f"merged-{self.version}.run"
            (self.folder / name).write_bytes(b"".join(bytes(part) for part in index.merge(plan, 0)))
            self.online_runs = [name]

    def names(self, cells: Cells, column: str) -> list[str]:
        """A column of codes or labels by name."""
        return cells.to_arrow(self.memory.lexicon.labels).column(column).to_pylist()
