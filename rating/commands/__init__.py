"""Commands that move balances or change accounts: journaled one by one, applied once for each id.

A command is a mapping: id (text), time (ISO), kind, and what the kind needs:

    top_up         account_id, amount > 0, currency; and what the tariff's `top_ups` add
    adjust         account_id, amount (either sign; not below the credit limit), currency
    transfer       account_id, to_account_id, amount > 0, currency, fee (default none)
    credit_limit   account_id, amount >= 0, currency
    grant          account_id, bucket (of the catalogue), amount (default the catalogue's), from, to (ISO)
    open_balance   account_id and amount, currency; or bucket, amount, plan, from, to, cycle; or counter, value, cycle:
                   what an account that has nothing of it yet brings along from another system
    plan_change    account_id, plan, from (ISO, default: time)
    option_add     account_id, plan, from, to (default: for ever), order (before, the default, or after the others)
    option_remove  account_id, plan, from (when it ends, default: time)
    friend_add     account_id, number (in files: the journal gets its token), from, to (default: for ever)
    friend_remove  account_id, number, from (when it ends, default: time)
    share_join     account_id, shared_account_id: from now on it uses that account's buckets and money after its own
    share_leave    account_id
    state          account_id, state, valid_until (ISO, or null for none; left out: as it is)
    clock          nothing more: expires what is over, debits fees, moves states on, forgets sessions
    period_close   through (a day) or until (ISO): cycles that end with the day, or by then, are closed

An id that was applied before changes nothing and writes nothing. What cannot be carried out goes to suspense.
"""

from rating.commands.apply import KINDS, apply_command, is_applied
from rating.commands.context import Origin

__all__ = ["KINDS", "Origin", "apply_command", "is_applied"]
