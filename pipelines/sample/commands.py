"""Commands of the period: top-ups of prepaid accounts, a few adjustments, and the clock."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipelines.sample.kernels.draw import draw_nb
from pipelines.sample.operator import ACCOUNT, is_prepaid
from pipelines.sample.population import Period, Population
from pipelines.sample.tariffs import CURRENCY
from schemas.columns import I64

TOP_UPS_A_DAY = 0.06  # per prepaid account
AMOUNTS = ("5.00", "10.00", "10.00", "15.00", "20.00", "50.00")


def write_commands(folder: Path, people: Population, when: Period, seed: int, windows: I64) -> int:
    """One file per window, ended by a clock command; returns the octets written."""
    folder.mkdir(parents=True)
    prepaid = np.flatnonzero(is_prepaid(people))
    span = when.end_s - when.start_s
    count = max(3, round(len(prepaid) * TOP_UPS_A_DAY * when.days))
    written, number = 0, 0
    for file_number, end in enumerate(windows.tolist(), 1):
        lines = []
        while number < count and (at := when.start_s + span * (2 * number + 1) // (2 * count)) < end:
            lines.append(_command(number, at, prepaid, seed))
            number += 1
        lines.append({"id": f"clock-{file_number}", "time": _iso(end), "kind": "clock"})
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        stamp = datetime.fromtimestamp(end, UTC).strftime("%Y%m%d%H%M%S")
        (folder / f"commands_{file_number:06d}_{stamp}.jsonl").write_bytes(text)
        written += len(text)
    return written


def _command(number: int, at_s: int, prepaid: I64, seed: int) -> dict[str, object]:
    account = ACCOUNT + int(prepaid[draw_nb(seed, number, 501) % len(prepaid)])
    drawn = int(draw_nb(seed, number, 502))
    kind, amount = "top_up", AMOUNTS[drawn % len(AMOUNTS)]
    if drawn % 50 == 7:
        kind, amount = "adjust", "2.00" if drawn % 100 == 7 else "-0.50"
    return {"id": f"{kind}-{number:08d}", "time": _iso(at_s), "kind": kind, "account_id": account, "amount": amount,
            "currency": CURRENCY}


def _iso(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
