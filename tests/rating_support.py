"""What rating tests share: a tariff as a plain structure, written as files; accounts; events as cells."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from rating.friends import add_friends
from rating.snapshot import from_arrow, same_state, to_arrow
from reference_data.accounts import accounts_from_arrow
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import Direction, LedgerAccount, NumberClass, Service
from schemas.columns import Cells
from schemas.digits import pack
from schemas.timepoint import format_time
from schemas.units import SERVICE_UNIT
from schemas.usage import USAGE

STAMP = pa.timestamp("us", tz="UTC")


def write_tariffs(folder: Path, versions, decks):
    """Versions (dicts with active_from_us) and decks {(version, deck): {prefix: zone}} as files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for version in versions:
        text = {k: v for k, v in version.items() if k != "active_from_us"}
        text["active_from"] = format_time(version["active_from_us"]).replace("Z", "+00:00")
        text["decks"] = {}
        for (owner, name), deck in decks.items():
            if owner == version["version"]:
                path = folder / f"{owner}-{name}.csv"
                with path.open("w", newline="") as stream:
                    writer = csv.writer(stream)
                    writer.writerow(["prefix", "zone"])
                    writer.writerows(deck.items())
                text["decks"][name] = path.name
        (folder / f"{version['version']}.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    return folder


def one_tariff(folder: Path, text: str):
    """A tariff of that text, whose deck has one zone."""
    (folder / "d.csv").write_text("prefix,zone\n4,near\n")
    (folder / "t.yaml").write_text(text)
    return load_tariffs(folder)


def check_book(book, tariffs, postings):
    """Balances are sums of postings; a snapshot holds all of the book."""
    totals = {}
    for cells in postings:
        for account, ledger, bucket, amount in zip(*(cells[n].tolist() for n in (
                "account_id", "ledger_account", "bucket_id", "amount")), strict=True):
            if ledger in (LedgerAccount.BALANCE, LedgerAccount.ALLOWANCE):
                totals[account, bucket] = totals.get((account, bucket), 0) + amount
    cells = book.balances(tariffs, 0)
    left = dict(zip(zip(cells["account_id"].tolist(), cells["bucket_id"].tolist(), strict=True),
                    cells["amount"].tolist(), strict=True))
    assert {k: v for k, v in totals.items() if v} == {k: v for k, v in left.items() if v}
    assert same_state(from_arrow(to_arrow(book)), book)


def make_accounts(rows):
    """rows: dicts with account_id, opening, credit, plans [(from us, plan or None)], and optionally more."""
    rows = sorted(rows, key=lambda r: r["account_id"])
    accounts = pa.table({
        "account_id": pa.array([r["account_id"] for r in rows], pa.int64()),
        "shared_account_id": pa.array([r.get("shared") for r in rows], pa.int64()),
        "payment": pa.array([r.get("payment", "prepaid") for r in rows], pa.string()),
        "currency": pa.array([r.get("currency", "EUR") for r in rows], pa.string()),
        "credit_limit": pa.array([r.get("credit", "0") for r in rows], pa.string()),
        "opening_balance": pa.array([r.get("opening", "0") for r in rows], pa.string()),
        "time_zone": pa.array([r.get("zone", "UTC") for r in rows], pa.string()),
        "anchor_day": pa.array([r.get("anchor", 1) for r in rows], pa.int64()),
        "state": pa.array([r.get("state", "active") for r in rows], pa.string()),
        "valid_until": pa.array([r.get("valid_to") for r in rows], STAMP)})
    intervals = []
    for r in rows:
        points = r["plans"]
        for (start, plan), after in zip(points, [*points[1:], (None, None)], strict=True):
            if plan is not None:
                intervals.append((r["account_id"], plan, start, after[0], r.get("priority", 0)))
        intervals += [(r["account_id"], plan, start, end, rank) for rank, plan, start, end in r.get("more_plans", ())]
    plans = pa.table({
        "account_id": pa.array([i[0] for i in intervals], pa.int64()),
        "plan": pa.array([i[1] for i in intervals], pa.string()),
        "valid_from": pa.array([i[2] for i in intervals], STAMP),
        "valid_to": pa.array([i[3] for i in intervals], STAMP),
        "recorded_from": pa.array([0 for _ in intervals], STAMP),
        "recorded_to": pa.array([None for _ in intervals], STAMP),
        "priority": pa.array([i[4] for i in intervals], pa.int64())})
    return accounts_from_arrow(accounts, plans)


def snssai_code(text):
    """SST << 32 | SD + 1 of `SST` or `SST-SD`; absent: -1."""
    if not text:
        return -1
    kind, _, differentiator = text.partition("-")
    return int(kind, 16) << 32 | (int(differentiator, 16) + 1 if differentiator else 0)


def events_to_cells(events, labels=()):
    """Events as the oracle takes them, as a usage block. labels: names by column, or of APNs only."""
    labels = labels if isinstance(labels, dict) else {"apn": list(labels)}
    cells = Cells.empty(USAGE, len(events), fill=-1)

    def label(column, name):
        return labels[column].index(name) if name else -1

    for i, event in enumerate(events):
        service = Service[event["service"].upper()]
        plmn = event.get("plmn")
        session = event.get("session")
        for name, value in {
            "source": 0, "file_id": 1, "record_offset": 100 * event.get("id", i + 1), "record_length": 100,
            "container_index": 0,
            "event_id_hi": event.get("id", i + 1), "event_id_lo": 77,
            "session_hi": event.get("id", i + 1) if session is None else 1000 + session,
            "session_lo": 77 if session is None else 88, "service": service,
            "direction": Direction[event["direction"].upper()], "event_time_us": event["time_us"],
            "quantity": event["quantity"], "unit": SERVICE_UNIT[service],
            "other_class": NumberClass[event.get("other_class", "ordinary").upper()],
            "other_prefix": pack(event["number"]) if event.get("number") else -1,
            "rating_group": event.get("rating_group", -1),
            "apn": label("apn", event.get("apn")), "category": label("category", event.get("category")),
            "other_network": label("other_network", event.get("other_network")),
            "service_identifier": event.get("service_identifier", -1), "rat_type": event.get("rat", -1),
            "snssai": snssai_code(event.get("snssai")), "segments": event.get("segments", -1),
            "other_token": -1 if event.get("other_token") is None else event["other_token"],
            "calling_prefix": pack(event["calling"]) if event.get("calling") else -1,
            "serving_plmn": int(plmn[:3]) * 1000 + int(plmn[3:]) if plmn else -1, "roaming": int(bool(plmn)),
            "merged_count": 1, "incomplete": 0, "account_id": event["account_id"], "group_id": event["account_id"],
        }.items():
            cells[name][i] = value
    return cells


def befriend(book, rows):
    """Put the accounts' friends (tokens) on their lists, for ever."""
    pairs = [(r["account_id"], token) for r in rows for token in r.get("friends", ())]
    if pairs:
        account, token = (np.array(each, np.int64) for each in zip(*pairs, strict=True))
        add_friends(book, book.rows_of(account), token, np.zeros_like(token), np.full_like(token, 1 << 62))


def join(parts):
    """Charged parts as one: (rated matrix, posting matrix, suspense matrix)."""
    return tuple(np.concatenate([getattr(p, name).matrix for p in parts], axis=1)
                 for name in ("rated", "posting", "suspense"))
