"""Commands that move balances or change accounts: journaled one by one, applied once for each id.

A command is a mapping: id (text), time (ISO), kind, and what the kind needs:

    top_up         account_id, amount > 0, currency; and what the tariff's `top_ups` add
    adjust         account_id, amount (either sign; not below the credit limit), currency
    transfer       account_id, to_account_id, amount > 0, currency, fee (default none)
    reserve        account_id, amount > 0, currency, until (ISO, default: a day): held, as sessions hold
    reservation_debit    account_id, reservation (the id of its movement, 32 hex digits), amount (default: all of it);
                   the rest is given back
    reservation_release  account_id, reservation: all of it is given back
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
    account_create account_id (a new one), currency, plan, time_zone, payment (prepaid, the default, or postpaid),
                   credit_limit, anchor_day, state, valid_until, from (of the plan, default: time)
    service_add    account_id, service_id (a new one), new_msisdn, new_imsi (one of them, or both), from
    sim_swap       account_id, msisdn (all SIMs of its service end) or imsi (this one does), new_imsi, from
    number_change  account_id, msisdn, new_msisdn, from, quarantine_days (default 90) of the old number
    port_in        account_id, msisdn or imsi, new_msisdn (which may be in quarantine), from: as number_change
    port_out       account_id, msisdn, from, quarantine_days
    service_end    account_id, msisdn or imsi, from, quarantine_days: nothing of its service is held any more
                   Numbers are in files only: the journal gets tokens (msisdn_token, new_imsi_token, ...)
    clock          nothing more: expires what is over, debits fees, moves states on, forgets sessions
    period_close   through (a day) or until (ISO): cycles that end with the day, or by then, are closed

An id that was applied before changes nothing and writes nothing. What cannot be carried out goes to suspense.
"""

from rating.commands.apply import KINDS, apply_command, is_applied
from rating.commands.context import Origin
from rating.commands.identities import IDENTITY_KINDS

__all__ = ["IDENTITY_KINDS", "KINDS", "Origin", "apply_command", "is_applied"]
