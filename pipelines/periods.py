"""Close a period: its cycles take no more usage. A command like any others, rehearsed before it is given to a run."""

import json
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from pipelines.commands import deliver_commands
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.run import Run, RunOptions
from rating.kernels.layout import B_CLOCK
from reference_data.operator import load_operator
from schemas.codes import PostingReason, Unit
from schemas.columns import ABSENT
from schemas.errors import ChargingError
from schemas.timepoint import format_time, parse_time


@dataclass
class Closed:
    """What closing did, or would do. through: the day, or until: the instant. known: it was closed before.

    expired: what expired, by unit and currency ("" for units); rolled: what moved into the next cycle.
    """

    words: str
    known: bool = False
    expired: dict[tuple[str, str], int] = field(default_factory=dict)
    rolled: dict[tuple[str, str], int] = field(default_factory=dict)


def close_period(source: Input, home: Home, through: str, until: str, time_us: int, dry_run: bool = False,
                 disk: Disk | None = None) -> Closed:
    """Close all cycles that end with the day `through`, in each account's zone, or by the instant `until`.

    time_us: when the command is given. Raises ChargingError: no day, or one that is not over by then.
    """
    if bool(through) == bool(until):
        raise ChargingError("--through and --until" if through else "neither --through nor --until",
                            "one of them: a day such as 2026-06-30, or an instant")
    what = _through(through) if through else _until(source, until)
    command = {"id": f"period-close-{''.join(what.values())}", "time": format_time(time_us), "kind": "period_close",
               **what}
    done = Closed(f"through {through}" if through else f"by {what['until']}")
    job = Run(source, home, RunOptions(workers=1), disk)
    try:
        book, tariffs = job.rehearse(commit=not dry_run), job.reference.tariffs
        now_us, before = max(int(book.scalars[B_CLOCK]), time_us), len(book.applied)
        charged = job.try_command(command)
        if len(charged.suspense):
            raise ChargingError(f"a period {done.words}, which is not over by {format_time(now_us)}",
                                "one that is over (UTC)", "wait, or say --time, when it is closed")
        done.known = len(book.applied) == before
        posting = charged.posting
        for at in np.flatnonzero((posting["bucket_id"] != ABSENT) & (posting["amount"] < 0)).tolist():
            currency = int(posting["currency"][at])
            key = (Unit(posting["unit"][at]).name.lower(), "" if currency < 0 else tariffs.labels["currency"][currency])
            side = done.rolled if posting["reason"][at] == PostingReason.ROLLOVER else done.expired
            side[key] = side.get(key, 0) - int(posting["amount"][at])
    finally:
        job.close()
    if dry_run or done.known:
        return done
    stem = f"period-{''.join(what.values()).replace(':', '')}"
    paths = deliver_commands(source.inbox, stem, time_us, [json.dumps(command).encode() + b"\n"], disk or Disk())
    job = Run(source, home, RunOptions(workers=1), disk)
    try:
        job.take(paths)
    finally:
        job.close()
    return done


def _through(text: str) -> dict[str, str]:
    try:
        date.fromisoformat(text) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise ChargingError(f"--through {text!r}", "the last day of the period, such as 2026-06-30") from None
    return {"through": text}


def _until(source: Input, text: str) -> dict[str, str]:
    try:
        return {"until": format_time(parse_time(text, load_operator(source.operator / "operator.yaml").time_zone))}
    except (ValueError, OverflowError):
        raise ChargingError(f"--until {text!r}", "an instant such as 2026-07-01T00:00, with or without an offset"
                            ) from None
