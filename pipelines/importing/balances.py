"""Import opening balances: check everything, rehearse it on the book, then give it to a run as files of commands.

Nothing is written before every row was read, the control totals agree and the whole file was carried out on a copy of
the balances. Then 1 the commands are written aside, 2 renamed into the inbox folder of commands, 3 a run takes these
files, and only these, the way of all files: archived, ordered, journaled, posted. Killed between any of these, the next
run, or the same import again, goes on; an id that was carried out before changes nothing.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.commands import deliver_commands
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.importing.balance_file import BalanceFile, Group, Total, compare_totals, parse_totals, read_totals
from pipelines.importing.checking import Checker, RowError
from pipelines.ledger import Ledger
from pipelines.ledger.sql import open_duckdb
from pipelines.run import Run, RunOptions
from rating.book import BalanceBook
from rating.commands.context import read_time
from rating.commands.grants import CATALOGUE
from rating.commands.opening import cycle_closed, find_bucket, find_counter, holds_bucket
from rating.counters import cycle_day, cycle_end_us, has_counter
from reference_data.accounts import load_accounts
from reference_data.operator import load_operator
from reference_data.tariffs.compile import Tariffs, definition_key, load_tariffs
from reference_data.tariffs.model import CYCLES
from schemas.codes import LedgerAccount, Unit
from schemas.errors import ChargingError, InvariantError
from schemas.money import format_money
from schemas.timepoint import SECOND_US, format_time, parse_time

PART_ROWS = 50_000  # commands of one file, which is journaled and charged as one group
SHOWN = 20          # problems that are told in full


@dataclass
class Imported:
    """What an import did, or would do. totals: those of the file, by group. posted: nanos or units by unit and
    currency, without what earlier tries had posted. known: rows that were imported before."""

    rows: int
    totals: dict[Group, Total]
    known: int = 0
    posted: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What to import. at: the time for which the balances are, in words; totals: None when the file ends with them."""

    file: Path
    at: str
    totals: Path | None = None


def import_balances(source: Input, home: Home, request: Request, dry_run: bool = False, disk: Disk | None = None
                    ) -> Imported:
    """Import, all or nothing. Raises ChargingError: a row is wrong, totals differ, an account has moved already."""
    file = BalanceFile(request.file)
    digest = _digest(request.file)
    checker = _checker(source, request, digest)
    with tempfile.TemporaryDirectory(prefix="tarifa-import-") as scratch:
        aside = Path(scratch) / "commands.jsonl"
        rows = _check(file, checker, aside, request.totals)
        done = Imported(rows, dict(checker.totals))
        fresh = dry_run and not home.root.is_dir()
        _rehearse(source, Home(Path(scratch) / "home") if fresh else home, aside, done, dry_run, file, disk)
        if dry_run or done.known == rows:
            return done
        paths = deliver_commands(source.inbox, f"balances-{digest[:16]}", checker.at_us, _parts(aside), disk or Disk())
    job = Run(source, home, RunOptions(workers=1), disk)
    try:
        stretch = job.take(paths)
    finally:
        job.close()
    _check_posted(home, done, *stretch)
    return done


def _checker(source: Input, request: Request, digest: str) -> Checker:
    operator = load_operator(source.operator / "operator.yaml")
    try:
        at_us = parse_time(request.at, operator.time_zone) // SECOND_US * SECOND_US
    except (ValueError, OverflowError):
        raise ChargingError(f"--at {request.at!r}", "the time for which the balances are, such as 2026-07-01T00:00"
                            ) from None
    return Checker(load_accounts(source.operator), load_tariffs(source.operator / "tariffs"), operator.time_zone, at_us,
                   digest[:16])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(file: BalanceFile, checker: Checker, aside: Path, totals: Path | None) -> int:
    """Every row by itself, then the totals. Writes the commands aside; returns how many rows there are."""
    problems: list[str] = []
    rows = wrong = 0
    with aside.open("w", encoding="utf-8") as commands:
        for row in file.rows():
            rows += 1
            try:
                command = checker.command(row)
            except RowError as problem:
                wrong += 1
                if len(problems) < SHOWN:
                    problems.append(f"{row.place}, {problem}")
                continue
            if command is not None:
                commands.write(json.dumps(command) + "\n")
    name = file.path.name
    if wrong:
        raise _refused(f"{name}: {wrong} of {rows} rows cannot be imported", problems, wrong)
    if not rows:
        raise ChargingError(f"{name}: no rows", "a row for every balance")
    differences = compare_totals(parse_totals(*read_totals(file, totals)), checker.totals)
    if differences:
        raise _refused(f"{name}: the control totals do not agree", differences[:SHOWN], len(differences))
    return rows


def _rehearse(source: Input, home: Home, aside: Path, done: Imported, dry_run: bool, file: BalanceFile,
              disk: Disk | None) -> None:
    """Carry out every command on the book as it is, without committing anything."""
    source.inbox.mkdir(parents=True, exist_ok=True)
    job = Run(source, home, RunOptions(workers=1), disk)
    try:
        book, tariffs = job.rehearse(commit=not dry_run), job.reference.tariffs
        problems: list[str] = []
        wrong = commands = 0
        with aside.open("rb") as lines:
            for line in lines:
                command = json.loads(line)
                commands += 1
                before = len(book.applied)
                charged = job.try_command(command)
                done.known += not len(charged.suspense) and len(book.applied) == before
                if len(charged.suspense):
                    wrong += 1
                    if len(problems) < SHOWN:
                        place = f"{file.unit} {command['id'].rsplit('-', 1)[1]}, account {command['account_id']}"
                        problems.append(f"{place}: {_why(command, book, tariffs)}")
                for unit, currency, amount in _customer_side(charged.posting, tariffs):
                    done.posted[unit, currency] = done.posted.get((unit, currency), 0) + amount
        done.known += done.rows - commands if done.known == commands else 0
    finally:
        job.close()
    if wrong:
        raise _refused(f"{file.path.name}: {wrong} of {done.rows} rows meet accounts that cannot take them", problems,
                       wrong)


def _customer_side(posting: Any, tariffs: Tariffs) -> Iterator[tuple[str, str, int]]:
    side = posting["ledger_account"]
    for at in np.flatnonzero((side == LedgerAccount.BALANCE) | (side == LedgerAccount.ALLOWANCE)).tolist():
        currency = int(posting["currency"][at])
        yield (Unit(posting["unit"][at]).name.lower(), tariffs.labels["currency"][currency] if currency >= 0 else "",
               int(posting["amount"][at]))


def _why(command: dict[str, Any], book: BalanceBook, tariffs: Tariffs) -> str:
    """Why the book refuses a command that was found right by itself."""
    row = book.row_of(command["account_id"])
    at_us = read_time(command, "cycle" if "cycle" in command else "time") or 0
    if row < 0:
        return "not opened; expected an account_id of accounts.parquet"
    if "counter" in command:
        kind = find_counter(tariffs, command["counter"])
        if kind is not None and has_counter(book, row, kind, at_us):
            return f"counter {kind.name} has counted in this cycle already; expected one row, before any usage"
        return f"its cycle at {format_time(at_us)} is closed; expected an open one"
    if "bucket" not in command:
        return (f"it has {format_money(book.money(row))} already; expected none: opening_balance 0 in "
                "accounts.parquet, one row, and no usage before (later amounts are adjustments)")
    name = command["bucket"]
    found = find_bucket(book, row, tariffs, name, command.get("plan", ""), read_time(command) or 0, at_us)
    if found is None:
        return f"bucket {name} belongs to none of its plans ({', '.join(book.plans_at(row, at_us)) or 'it has none'})"
    if found.plan == CATALOGUE:
        return f"bucket {name}: there with the same validity already, or too many buckets; expected one row for each"
    cycle = CYCLES.index(found.definition.cycle)
    day = cycle_day(book, row, cycle, at_us)
    if holds_bucket(book, row, definition_key(found.plan, found.definition) | day):
        return f"bucket {name} is there already in this cycle; expected one row, before any usage"
    if cycle_closed(book, row, cycle_end_us(book, row, cycle, day)):
        return f"bucket {name}: its cycle at {format_time(at_us)} is closed; expected an open one"
    return f"bucket {name} cannot be opened"


def _parts(aside: Path) -> Iterator[bytes]:
    with aside.open("rb") as lines:
        part: list[bytes] = []
        for line in lines:
            part.append(line)
            if len(part) == PART_ROWS:
                yield b"".join(part)
                part = []
        if part:
            yield b"".join(part)


def _check_posted(home: Home, done: Imported, first: int, stop: int) -> None:
    """What journal entries [first, stop) posted is what was rehearsed. Raises InvariantError."""
    with open_duckdb(Ledger.open(home.ledger)) as connection:
        found = {(unit, currency): int(amount) for unit, currency, amount in connection.execute(
            "SELECT unit, coalesce(currency, ''), sum(amount) FROM posting WHERE reason = 'opening' AND ledger_account "
            "IN ('balance', 'allowance') AND journal_position >= ? AND journal_position < ? GROUP BY ALL",
            [first, stop]).fetchall()}
    if found != done.posted:
        raise InvariantError(f"the import posted {found}, and was to post {done.posted}")


def _refused(what: str, problems: Iterable[str], count: int) -> ChargingError:
    lines = "".join(f"\n  {problem}" for problem in problems)
    more = f"\n  and {count - SHOWN} more" if count > SHOWN else ""
    return ChargingError(f"{what}:{lines}{more}\nnothing was imported")
