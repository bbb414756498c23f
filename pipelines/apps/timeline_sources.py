"""Where a timeline comes from: the ledger; and the node that serves the home, else its snapshot, else the files."""

from contextlib import suppress

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.accounts.finding import token_of
from pipelines.accounts.history import Past
from pipelines.accounts.served import ServedDesk
from pipelines.accounts.timeline import Known, Timeline, timeline
from pipelines.apps.correct_commands import point
from pipelines.apps.opening import keys_of, read_ledger
from pipelines.apps.options import now_us
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
from schemas.timepoint import format_time


def timeline_of(source: Input, place: Home, who: str, at: str, side_us: int) -> Timeline:
    """What happened to an account within so long of a time, in the order in which it was charged."""
    at_us = point(source, at, now_us())
    opened = read_ledger(place)
    account, token = _account(source, place, opened, who, at_us)
    tariffs = load_tariffs(source.operator / "tariffs")
    with asking(opened) as connection:
        return timeline(Past(opened, connection, account, token, at_us - side_us, at_us + side_us),
                        _known(source, place, account, at_us), tariffs, at_us)


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
