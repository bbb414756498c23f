"""Which account somebody means, and which numbers are free: asked of a book between two changes of it."""

from typing import Any

import pyarrow as pa

from pipelines.accounts.numbers import digits_of
from pipelines.accounts.view import Viewer
from rating.book import BalanceBook
from reference_data.inventory import tokens_of
from reference_data.snapshot import Snapshot
from schemas.codes import Identity
from schemas.errors import ChargingError
from schemas.timepoint import format_time


def token_of(number: str, identity: Identity, token_key: tuple[int, int]) -> int:
    """Token of a number as people write it. Raises ChargingError."""
    return int(tokens_of(pa.array([digits_of(number)]), identity, token_key)[0])


def find_account(book: BalanceBook, reference: Snapshot, token_key: tuple[int, int], who: str, at_us: int) -> int:
    """The account of this number, or that has this MSISDN at a time. Raises ChargingError."""
    if who.isascii() and who.isdecimal() and len(who) <= 18 and book.row_of(int(who)) >= 0:
        return int(who)
    holder = book.changes.holder(reference.inventory, token_of(who, Identity.MSISDN, token_key), Identity.MSISDN, at_us)
    if holder is None:
        raise ChargingError(f"a number that nobody has at {format_time(at_us)}, and no account",
                            "an MSISDN with its country code, or the number of an account")
    return holder.account_id


def show_account(book: BalanceBook, reference: Snapshot, token_key: tuple[int, int], who: str, at_us: int
                 ) -> dict[str, Any]:
    """The account that is meant, as `AccountView.as_json`."""
    row = book.row_of(find_account(book, reference, token_key, who, at_us))
    if row < 0:
        raise ChargingError("an account that is not open yet", "one that a run has opened", "tarifa run")
    return Viewer(reference.tariffs).account(book, row, at_us).as_json()


def defaults(book: BalanceBook, reference: Snapshot) -> dict[str, Any]:
    """What a new account gets where nothing else is said: the next numbers, the operator's currency and zone."""
    known, accounts = reference.inventory.service_ids, reference.inventory.accounts.account_id
    account = 1 + max(int(accounts[-1]) if accounts.size else 0, int(book.account_ids[-1]) if len(book) else 0)
    while book.row_of(account) >= 0:
        account += 1
    return {"account_id": account,
            "service_id": max(int(known[-1]) if known.size else 0, book.changes.newest_service()) + 1,
            "currency": reference.operator.currency, "time_zone": reference.operator.time_zone}
