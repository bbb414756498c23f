"""Charging: events priced and debited per second on one core, beside what the machine's memory allows.

The probe reads and writes one random 128-byte record and one random 64-byte profile for each event, nothing else:
the bound for state of that size. The ratio to it says more than the rate on a shared machine.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from rating.book import BalanceBook
from rating.charging import charge
from rating.kernels.probe import probe_nb
from reference_data.accounts import accounts_from_arrow
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import Direction, NumberClass, Service, Unit
from schemas.columns import Cells
from schemas.digits import pack
from schemas.timepoint import parse_time
from schemas.usage import USAGE

EXAMPLE = Path(__file__).resolve().parent.parent / "reference_data" / "tariffs" / "examples" / "tariffs"
SMOKE = {"accounts": 1_000, "events": 20_000, "block": 5_000}
REAL = {"accounts": 1_000_000, "events": 2_000_000, "block": 100_000}
START = parse_time("2026-06-01T00:00:00+00:00")


def accounts(count: int) -> tuple[pa.Table, pa.Table]:
    """Half prepaid, half postpaid with allowances; every fourth shares with its neighbour."""
    ids = np.arange(1, count + 1)
    stamp = pa.timestamp("us", tz="UTC")
    shares = ids % 4 == 0
    table = pa.table({
        "account_id": ids, "shared_account_id": pa.array(np.where(shares, ids - 1, 0), mask=~shares),
        "payment": np.where(ids % 2, "prepaid", "postpaid"), "currency": ["EUR"] * count,
        "credit_limit": np.where(ids % 2, "0", "100"), "opening_balance": np.where(ids % 2, "20.00", "0"),
        "time_zone": ["Europe/Berlin"] * count, "anchor_day": ids % 28 + 1, "state": ["active"] * count})
    plans = pa.table({
        "account_id": ids, "plan": np.where(ids % 2, "prepaid-basic", "postpaid-family"),
        "valid_from": pa.array(np.full(count, parse_time("2026-01-01T00:00:00+00:00")), stamp),
        "valid_to": pa.array([None] * count, stamp), "recorded_from": pa.array(np.zeros(count, np.int64), stamp),
        "recorded_to": pa.array([None] * count, stamp)})
    return table, plans


def usage(count: int, account_count: int, seed: int) -> Cells:
    """A day's mix: voice 30 %, SMS 10 %, data 60 % in sessions of some five partials, in order of time."""
    draw = np.random.default_rng(seed)
    cells = Cells.empty(USAGE, count, fill=-1)
    kind = draw.choice([Service.VOICE, Service.SMS, Service.DATA], count, p=[0.3, 0.1, 0.6])
    account = draw.integers(1, account_count + 1, count)
    index = np.arange(count)
    prefixes = np.array([pack(p) for p in ("491512345", "493012345", "33123456", "81234567")], np.int64)
    data = kind == Service.DATA
    session = account * 16 + draw.integers(0, max(count // account_count // 5, 1), count)
    for name, value in {
        "source": 0, "file_id": 1, "record_offset": index * 100, "record_length": 100, "container_index": 0,
        "event_id_hi": index + 1, "event_id_lo": seed, "session_hi": np.where(data, session, index + 1),
        "session_lo": np.where(data, -9, seed), "service": kind, "direction": Direction.ORIGINATING,
        "event_time_us": START + index * (86_400_000_000 // count),
        "quantity": np.where(data, draw.lognormal(13, 2, count).astype(np.int64),
                             np.where(kind == Service.VOICE, draw.exponential(120, count).astype(np.int64) + 1, 1)),
        "unit": np.where(data, Unit.OCTET, np.where(kind == Service.VOICE, Unit.SECOND, Unit.MESSAGE)),
        "other_class": NumberClass.ORDINARY, "other_prefix": np.where(data, -1, draw.choice(prefixes, count)),
        "rating_group": np.where(data, 1, -1), "roaming": 0, "merged_count": 1, "incomplete": 0,
        "account_id": account, "group_id": account,
    }.items():
        cells[name] = value
    return cells


def run(parameters: dict[str, int], seed: int = 1) -> dict[str, object]:
    """Charge the events block by block; returns figures and a checksum of what came out."""
    tariffs = load_tariffs(EXAMPLE)
    book = BalanceBook.create()
    started = time.perf_counter()
    book.open_accounts(accounts_from_arrow(*accounts(parameters["accounts"])), tariffs, 0)
    opened_s = time.perf_counter() - started
    cells = usage(parameters["events"], parameters["accounts"], seed)
    rows = (cells["account_id"] - 1).copy()
    probe_s = []
    for _ in range(3):
        started = time.perf_counter()
        probe_nb(rows, book.records, book.profile, 0)
        probe_s.append(time.perf_counter() - started)
    charges, amounts, taken, rated, posted = hashlib.sha256(), hashlib.sha256(), [], 0, 0
    for position, start in enumerate(range(0, len(cells), parameters["block"])):
        stop = min(start + parameters["block"], len(cells))
        block = cells.slice(start, stop)
        started = time.perf_counter()
        charged = charge(block, 0, stop - start, position, tariffs, book, {"apn": []})
        taken.append(time.perf_counter() - started)
        rated, posted = rated + len(charged.rated), posted + len(charged.posting)
        charges.update(charged.rated["charge_nanos"].tobytes())
        amounts.update(charged.posting["amount"].tobytes())
    total = sum(taken)
    return {**parameters, "open_accounts_s": round(opened_s, 2), "events_per_s": int(len(cells) / total),
            "ns_per_event": int(total / len(cells) * 1e9), "best_block_ns_per_event":
            int(min(taken) / parameters["block"] * 1e9), "probe_events_per_s": int(len(cells) / min(probe_s)),
            "ratio_to_probe": round(min(probe_s) / total, 4), "p50_block_ms": round(float(np.median(taken)) * 1e3, 2),
            "p99_block_ms": round(float(np.quantile(taken, 0.99)) * 1e3, 2), "rated": rated,
            "postings_per_event": round(posted / max(rated, 1), 2),
            "checksum": charges.hexdigest()[:8] + amounts.hexdigest()[:8]}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=REAL["accounts"])
    parser.add_argument("--events", type=int, default=REAL["events"])
    parser.add_argument("--block", type=int, default=REAL["block"])
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    parameters = SMOKE if given.smoke else {k: getattr(given, k) for k in SMOKE}
    print(json.dumps(run(parameters), indent=2))


if __name__ == "__main__":
    main()
