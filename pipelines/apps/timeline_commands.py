"""`tarifa account timeline`: what happened to an account around a time, and why. Reads; locks nothing."""

import re
from contextlib import suppress
from typing import Annotated

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from pipelines.accounts.finding import token_of
from pipelines.accounts.history import Past
from pipelines.accounts.served import ServedDesk
from pipelines.accounts.timeline import Known, Timeline, timeline
from pipelines.apps.correct_commands import point
from pipelines.apps.explain_commands import print_json
from pipelines.apps.opening import BesideOption, JsonOption, keys_of, now_us, places, read_ledger
from pipelines.apps.options import HomeOption, LedgerOption, console
from pipelines.home import Home, Input
from pipelines.identity_changes import CommittedChanges
from pipelines.ledger import Ledger
from pipelines.ledger.sql import asking
from pipelines.serve.home_socket import connect
from pipelines.snapshots import Snapshots
from rating.book_items import accounts_of
from rating.kernels.layout import F_TRAITS, STATE, TRAIT_CURRENCY
from reference_data.accounts import PLAN_SEPARATOR, STATES, load_accounts
from reference_data.inventory import load_inventory
from reference_data.tariffs.compile import load_tariffs
from schemas.codes import Identity
from schemas.columns import ABSENT
from schemas.errors import ChargingError, LedgerError
from schemas.money import format_money
from schemas.timepoint import SECOND_US, format_time

_SPAN = {"min": 60, "h": 3600, "d": 86_400}


def timeline_command(
    who: Annotated[str, typer.Argument(help="An MSISDN with its country code, or the number of an account.",
                                       metavar="MSISDN|ACCOUNT")],
    at: Annotated[str, typer.Option("--at", help="Around when. Default: now.")] = "",
    within: Annotated[str, typer.Option("--within", help="How far to either side: 30 min, 24 h, 7 d.")] = "24 h",
    as_json: JsonOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """What happened around a time: grants, refusals, debits, state, tariff, balance before and after, in order."""
    source, place = places(home, input_folder, ledger)
    at_us, side_us = point(source, at, now_us()), _span(within)
    opened = read_ledger(place)
    account, token = _account(source, place, opened, who, at_us)
    tariffs = load_tariffs(source.operator / "tariffs")
    with asking(opened) as connection:
        found = timeline(Past(opened, connection, account, token, at_us - side_us, at_us + side_us),
                         _known(source, place, account, at_us), tariffs, at_us)
    if as_json:
        print_json(found.as_json())
        return
    _print(found)


def _print(found: Timeline) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, side in (("time (UTC)", "left"), ("", "left"), ("what", "left"), ("amount", "right"),
                       ("balance before", "right"), ("after", "right")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for moment in found.moments:
        money = ["" if value is None else format_money(value) for value in
                 (moment.amount, moment.before, moment.after)]
        colour = {"refusal": "red", "suspense": "yellow", "command": "cyan", "state": "cyan"}.get(moment.kind, "")
        kind = f"[{colour}]{moment.kind}[/]" if colour else moment.kind
        table.add_row(format_time(moment.at_us).replace("T", " ").removesuffix("Z")[:19], kind, escape(moment.what),
                      *money)
    console.print(table)
    for sentence in found.words():
        console.print(escape(sentence), highlight=False, soft_wrap=True)


def _account(source: Input, home: Home, ledger: Ledger, who: str, at_us: int) -> tuple[int, int]:
    """Account and token of a number at a time, by files and commands; of an account's number itself, no token.

    A node that serves the home knows accounts that commands made before the ledger has balances of them.
    """
    connection = connect(home.root)
    if connection is not None:
        with ServedDesk(connection) as desk, suppress(LedgerError):
            found = int(desk.show(who, at_us)["account_id"])
            return found, ABSENT if who == str(found) else token_of(who, Identity.MSISDN, keys_of(home).token_key)
    accounts = pq.read_table(source.operator / "accounts.parquet", columns=["account_id"])["account_id"]
    if who.isdecimal() and len(who) <= 18 and (
            bool(pc.any(pc.equal(accounts, int(who))).as_py()) or _created(ledger, int(who))):
        return int(who), ABSENT
    key = keys_of(home).token_key
    token = token_of(who, Identity.MSISDN, key)
    _, changes = CommittedChanges(ledger).newest()
    holder = changes.holder(load_inventory(source.operator, key), token, Identity.MSISDN, at_us)
    if holder is None:
        raise ChargingError(f"a number that nobody had at {format_time(at_us)}, and no account",
                            "an MSISDN with its country code, or the number of an account")
    return holder.account_id, token


def _created(ledger: Ledger, account_id: int) -> bool:
    """Whether a command created it: balances that the last run wrote have it."""
    with asking(ledger) as connection:
        found = connection.execute("SELECT count(*) FROM balance WHERE account_id = ?", [account_id]).fetchone()
    return bool(found and found[0])


def _known(source: Input, home: Home, account: int, at_us: int) -> Known:
    """From the node that serves the home; else from the newest snapshot of the book, its accounts only;
    else from the operator's files, where no snapshot has the account yet."""
    connection = connect(home.root)
    if connection is not None:
        with ServedDesk(connection) as desk, suppress(LedgerError):
            said = desk.show(str(account), at_us)
            return Known(account, said["currency"], tuple(said["plans"]), said["state"])
    found = Snapshots(home.snapshots).newest()
    if found is not None:
        book = accounts_of(found.items)
        for row in np.flatnonzero(book.account_ids == account).tolist():
            currency = book.currencies[int(book.profile[row, F_TRAITS]) >> TRAIT_CURRENCY & 0xFFF]
            state = STATES[int(book.records[row, STATE])]
            return Known(account, currency, tuple(book.plans_at(row, at_us)), state)
    files = load_accounts(source.operator)
    for row in np.flatnonzero(files.account_id == account).tolist():
        then = (files.plan_account == account) & (files.plan_from_us <= at_us) & (at_us < files.plan_to_us)
        named = [name for at in files.plan[then].tolist() for name in files.plans[at].split(PLAN_SEPARATOR)]
        return Known(account, files.currencies[files.currency[row]], tuple(named), STATES[files.state[row]])
    return Known(account, "", (), "unknown")


def _span(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,5}) ?(min|h|d)", text)
    if found is None:
        raise ChargingError(f"--within {text!r}", 'a span of time such as "30 min", "24 h" or "7 d"')
    return int(found[1]) * _SPAN[found[2]] * SECOND_US
