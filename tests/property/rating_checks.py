"""The product run on a world, and held to the oracle: events, balances, sums. Disagreements come as text."""

import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from rating.book import BalanceBook
from rating.charging import charge
from rating.commands import apply_command
from rating.snapshot import from_arrow, to_arrow
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import LedgerAccount, Reason, Unit
from schemas.money import NANOS
from schemas.timepoint import format_time
from tests.oracle.rating.pricing import NEVER
from tests.property.rating_worlds import HORIZON_S, LATENESS_S
from tests.rating_support import befriend, events_to_cells, make_accounts, write_tariffs

LABELS = {"apn": ["ims", "Internet"], "other_network": ["ours", "theirs", "other", "third", "theirs-too"],
          "category": ["gold", "plain", "else"]}
POSITION = 9
EPOCH = 719_163  # ordinal of 1970-01-01


def compile_world(world):
    """Raises ReferenceDataError when the world's tariff is refused."""
    with tempfile.TemporaryDirectory() as folder:
        return load_tariffs(write_tariffs(Path(folder), world.versions, world.decks))


def open_book(world, compiled):
    """(book, postings of the opening)."""
    book = BalanceBook.create(lateness_s=LATENESS_S, horizon_s=HORIZON_S)
    return book, book.open_accounts(make_accounts(world.rows), compiled, 0)


def blocks(steps):
    """Lists of events that follow each other, and commands."""
    found = []
    for step in steps:
        if "kind" in step:
            found.append(step)
        elif found and isinstance(found[-1], list):
            found[-1].append(step)
        else:
            found.append([step])
    return found


@dataclass
class Run:
    """What the product made of a world."""

    compiled: object
    book: BalanceBook
    opening: object
    parts: list = field(default_factory=list)      # Charged, one for each block or command
    commands: dict = field(default_factory=dict)   # id -> reason's name or None


def run_product(world, compiled, cut=None, reopen=False, book=None):
    """Charge a world. cut(events): where a block of so many events is cut. reopen: through a snapshot each time.

    book: with the accounts opened and befriended already.
    """
    run = Run(compiled, *(open_book(world, compiled) if book is None else (book, None)))
    if book is None:
        befriend(run.book, world.rows)
    for block in blocks(world.steps):
        if isinstance(block, dict):
            done = apply_command(block, POSITION, compiled, run.book)
            reasons = done.suspense["reason"].tolist()
            run.commands[block["id"]] = Reason(reasons[0]).name if reasons else None
            run.parts.append(done)
        else:
            cells = events_to_cells(block, LABELS)
            marks = sorted({0, len(block), *(cut(len(block)) if cut else ())})
            for start, stop in pairwise(marks):
                run.parts.append(charge(cells, start, stop, POSITION, compiled, run.book, LABELS))
                if reopen:
                    run.book = from_arrow(to_arrow(run.book))
    return run


def money(nanos):
    return Fraction(int(nanos), NANOS)


def rows_of(cells):
    """Rows of cells as dicts of int."""
    names = cells.columns.names
    return [dict(zip(names, values, strict=True)) for values in zip(*(cells[n].tolist() for n in names), strict=True)]


def told(run):
    """((event id, leg) -> rated row, (event id, leg) -> reason's name)."""
    rated, suspended = {}, {}
    for part in run.parts:
        rated |= {(row["event_id_hi"], row["leg"]): row for row in rows_of(part.rated)}
        suspended |= {(row["event_id_hi"], row.get("leg", 0)): Reason(row["reason"]).name
                      for row in (*rows_of(part.suspense), *rows_of(part.leg_suspense))}
    return rated, suspended


def notified(run):
    """Event id -> (account, counter, first day, threshold) of what reached a threshold."""
    found = {}
    for part in run.parts:
        for row in rows_of(part.notification):
            found.setdefault(row["event_id_hi"], []).append((
                row["account_id"], run.compiled.labels["counter"][row["counter"]], row["cycle_start_day"],
                row["threshold"]))
    return found


def differences(world, run, expected, oracle):
    """What the product says otherwise than the oracle: a list of text, empty when they agree."""
    found, (rated, suspended) = [], told(run)
    noted = notified(run)
    for step, wanted in zip(world.steps, expected, strict=True):
        if "kind" in step:
            if run.commands[step["id"]] != wanted:
                found.append(f"command {step}: product {run.commands[step['id']]}, oracle {wanted}")
            continue
        legs = [leg for leg in wanted.get("legs", []) if leg is not None]
        extra = {key for key in (*rated, *suspended) if key[0] == step["id"]} - {
            (step["id"], result.get("leg", 0)) for result in (wanted, *legs)}
        if extra:
            found.append(f"event {step}: legs {sorted(leg for _, leg in extra)} that the oracle does not know")
        for result in (wanted, *legs):
            key = (step["id"], result.get("leg", 0))
            if "reason" in result:
                said, meant = suspended.get(key, "rated" if key in rated else "nothing"), result["reason"]
            elif key not in rated:
                said, meant = suspended.get(key, "nothing"), "rated"
            else:
                said, meant = seen_of(run, rated[key], result)
                if key[1] == 0:
                    said["notified"] = sorted(noted.get(step["id"], []))
                    meant["notified"] = sorted(
                        (account, name, first.toordinal() - EPOCH,
                         int(threshold * NANOS) if isinstance(threshold, Fraction) else threshold)
                        for each in (wanted, *legs) for account, name, first, threshold in
                        each.get("notifications", ()))
            if said != meant:
                found.append(f"event {step} leg {key[1]}: product {said}, oracle {meant}")
    found += balance_differences(run, oracle)
    return found


def seen_of(run, row, result):
    """(what the product says, what the oracle says) of a rated event, in the same words."""
    said = {"charge": money(row["charge_nanos"]), "uncollected": money(row["uncollected_nanos"]),
            "allowance": max(row["allowance_quantity"], 0), "zone": run.compiled.labels["zone"][row["zone"]]}
    meant = {"charge": result["charge"], "uncollected": result["uncollected"], "allowance": result["allowance"],
             "zone": result["zone"] if result["roaming"] == "home" else f"roaming:{result['roaming']}"}
    if (result["connect"] * NANOS).denominator == 1:  # a part of the charge: told exactly where nanos can
        said["connect"], meant["connect"] = money(row["connect_fee_nanos"]), result["connect"]
    for column, name, reads in (("tax_nanos", "tax", lambda n: money(0 if n == -1 else n)),
                                ("refusal", "refusal", lambda n: max(n, 0)),
                                ("maximum_reached_at", "disconnect", lambda n: None if n < 0 else n)):
        if column in row and name in result:
            said[name], meant[name] = reads(row[column]), result[name]
    if meant.get("disconnect") == NEVER:  # the last flat slot: nothing that follows costs
        meant["disconnect"] = None
    return said, meant


def balance_differences(run, oracle):
    """Money of every account, and what is left in its buckets, whatever their ids."""
    found, said = [], {}
    for row in rows_of(run.book.balances(run.compiled, 0)):
        if row["bucket_id"] < 0:
            said[row["account_id"], "money"] = money(row["amount"])
        elif row["amount"]:
            said.setdefault((row["account_id"], "buckets"), []).append((Unit(row["unit"]).name.lower(), row["amount"]))
    meant = {}
    for account in oracle.accounts.values():
        meant[account.account_id, "money"] = account.money
        left = [(key[2], int(n * NANOS) if key[2] == "money" else n) for key, n in account.buckets.items() if n]
        if left:
            meant[account.account_id, "buckets"] = left
    for key in sorted(said.keys() | meant.keys()):
        one, two = (sorted(d[key]) if key[1] == "buckets" and key in d else d.get(key) for d in (said, meant))
        if one != two:
            found.append(f"account {key[0]} {key[1]}: product {one}, oracle {two}")
    return found


def sum_differences(run):
    """Balances are nothing but sums of postings; each movement sums to zero per unit and currency."""
    totals, movements = {}, {}
    for posting in (run.opening, *(part.posting for part in run.parts)):
        for row in rows_of(posting):
            if row["ledger_account"] in (LedgerAccount.BALANCE, LedgerAccount.ALLOWANCE):
                key = (row["account_id"], row["bucket_id"])
                totals[key] = totals.get(key, 0) + row["amount"]
            key = (row["movement_hi"], row["movement_lo"], row["unit"], row["currency"])
            movements[key] = movements.get(key, 0) + row["amount"]
    left = {}
    for row in rows_of(run.book.balances(run.compiled, 0)):
        key = (row["account_id"], row["bucket_id"])
        left[key] = left.get(key, 0) + row["amount"]
    found = [f"movement {key} sums to {total}" for key, total in movements.items() if total]
    return found + [f"account and bucket {key}: postings {totals.get(key, 0)}, balance {left.get(key, 0)}"
                    for key in sorted(totals.keys() | left.keys()) if totals.get(key, 0) != left.get(key, 0)]



def describe(world):
    """A world as text, for a report of a disagreement."""
    times = {step["id"]: format_time(step["time_us"]) for step in world.events}
    return "\n".join([f"features {sorted(world.features)}", *(f"version {v}" for v in world.versions),
                      f"decks {world.decks}", *(f"account {row}" for row in world.rows),
                      *(f"step {step} {times.get(step['id'], '')}" for step in world.steps)])
