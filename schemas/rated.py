"""Rated events and postings: what charging writes."""

from schemas.codes import (
    AccountState,
    CorrectionKind,
    LedgerAccount,
    PostingReason,
    RatingStatus,
    StateCause,
    SuspenseAction,
    Unit,
    Withdrawal,
)
from schemas.columns import Column, ColumnSet
from schemas.usage import ORIGIN, SUSPENSE, USAGE

RATED = ColumnSet("rated", 1, (
    *USAGE.columns,
    Column("leg", "int8", "charge leg: 0 retail", nullable=False),
    Column("revision", "int16", "even: a charge, 0 as first charged; odd: takes the revision before it back, its "
           "measures negated; so sums over all rows are what is charged now", nullable=False),
    Column("journal_position", "int64", "journal entry that charged it", nullable=False),
    Column("tariff_version", "label", "tariff version in force at event time"),
    Column("plan", "label", "price plan"),
    Column("zone", "label", "called or serving zone"),
    Column("band", "label", "time band of the start"),
    Column("rate_row", "int32", "row of the tariff's rate table"),
    Column("session_quantity_before", "int64", "what earlier reports of the session had brought, in `unit`"),
    Column("session_billed_before", "int64", "position that earlier reports had billed up to; a step may reach on"),
    Column("session_numerator_before", "int64", "exact price of earlier reports, over the plan's denominator"),
    Column("session_charged_before_nanos", "int64", "what earlier reports of the session were charged"),
    Column("billed_quantity", "int64", "quantity after steps and minimum, this report's share"),
    Column("allowance_quantity", "int64", "covered by allowances, in `unit`"),
    Column("bucket_id", "int64", "first bucket that paid"),
    Column("connect_fee_nanos", "int64", "part of the charge", nullable=False),
    Column("charge_nanos", "int64", "charge in nano-units, uncollected part included", nullable=False),
    Column("uncollected_nanos", "int64", "part that no balance covered", nullable=False),
    Column("currency", "label", "ISO 4217"),
    Column("status", "code", "how the charge came about", RatingStatus, nullable=False),
    Column("tax_nanos", "int64", "part of the charge that is tax; absent where the plan has none"),
    Column("maximum_reached_at", "int64", "position at which the price reached a maximum that disconnects"),
    Column("counter_before", "int64", "position on the counter over which the price counts, before this report"),
    Column("scope_numerator_before", "int64", "exact price so far of what is rounded once, where that is a day"),
    Column("session_began_us", "time", "when the session began, where its band prices all of it"),
    Column("session_minimum_before", "int64", "minimum charge of earlier reports, over the plan's denominator"),
    Column("session_maximum", "int64", "maximum charge of the session or cycle, over the plan's denominator"),
    Column("tier_steps_before", "int64", "steps that volume tiers had counted before this report"),
    Column("refusal", "int32", "result code that the account's state would have answered"),
))

POSTING = ColumnSet("posting", 1, (
    Column("movement_hi", "uint64", "the event or command that moved this", nullable=False),
    Column("movement_lo", "uint64", "lower half", nullable=False),
    Column("posting_index", "int16", "place in the movement", nullable=False),
    Column("journal_position", "int64", "journal entry", nullable=False),
    Column("event_time_us", "time", "when it takes effect"),
    Column("account_id", "int64", "whose; the customer's account also on the operator's side", nullable=False),
    Column("ledger_account", "code", "which account of the book", LedgerAccount, nullable=False),
    Column("bucket_id", "int64", "bucket of the account; absent for the operator's side"),
    Column("unit", "code", "what is counted", Unit, nullable=False),
    Column("currency", "label", "ISO 4217; absent for units"),
    Column("amount", "int64", "nano-units or units; a movement sums to zero per unit and currency", nullable=False),
    Column("reason", "code", "what the movement is for", PostingReason, nullable=False),
    Column("leg", "int8", "charge leg of the event that moved this; absent: its retail charge, or no event"),
))

# Charge legs that could not be priced, of events that were charged: no class of the conservation law. The view
# `leg_suspense_open` has those that are still set aside: every odd revision closes an even one.
LEG_SUSPENSE = ColumnSet("leg_suspense", 1, (
    *SUSPENSE.columns,
    Column("leg", "int8", "charge leg, from 1; account_id is whom it would have charged", nullable=False),
    Column("revision", "int16", "even: set aside; odd: closed, by a correction or by hand", nullable=False),
    # Of rows that close one by hand; files written before lack them.
    Column("action", "code", "recycled or written off; absent: a correction", SuspenseAction),
    Column("who", "label", "who closed it"),
    Column("why", "label", "why"),
))

NOTIFICATION = ColumnSet("notification", 1, (
    Column("event_id_hi", "uint64", "the event with which the counter reached it", nullable=False),
    Column("event_id_lo", "uint64", "lower half", nullable=False),
    Column("journal_position", "int64", "journal entry", nullable=False),
    Column("event_time_us", "time", "time of the event"),
    Column("account_id", "int64", "whose counter", nullable=False),
    Column("counter", "label", "which counter", nullable=False),
    Column("cycle_start_day", "int64", "first day of the cycle, days since 1970-01-01 in the account's zone",
           nullable=False),
    Column("threshold", "int64", "value that was reached, in what the counter counts: units, nano-units, events",
           nullable=False),
    Column("value", "int64", "value after the event", nullable=False),
))

BALANCE = ColumnSet("balance", 1, (
    Column("journal_position", "int64", "state before this entry: the next to be charged", nullable=False),
    Column("account_id", "int64", "whose", nullable=False),
    Column("bucket_id", "int64", "which bucket; absent for the main money balance"),
    Column("unit", "code", "what is counted", Unit, nullable=False),
    Column("currency", "label", "ISO 4217; absent for units"),
    Column("amount", "int64", "what is left", nullable=False),
))

# Corrections of the past: what one journal entry corrected, and on whose word.
CORRECTION = ColumnSet("correction", 1, (
    Column("journal_position", "int64", "journal entry: that of its rows and postings", nullable=False),
    Column("kind", "code", "what it was for", CorrectionKind, nullable=False),
    Column("made_us", "time", "when it was made, and takes effect", nullable=False),
    Column("from_us", "time", "usage from here was corrected"),
    Column("to_us", "time", "usage before here was corrected"),
    Column("tariffs", "label", "content hash of the tariffs that hold for it from now on"),
    Column("account_count", "int64", "accounts that were computed again", nullable=False),
    Column("reversed_count", "int64", "rated rows taken back", nullable=False),
    Column("replaced_count", "int64", "rated rows written in their place", nullable=False),
    Column("who", "label", "who made it", nullable=False),
    Column("why", "label", "why", nullable=False),
))
# Events that were charged, or containers that were held, and are neither now. Those that were backed out are class
# `withdrawn` of the conservation law.
WITHDRAWN = ColumnSet("withdrawn", 1, (
    *ORIGIN,
    Column("event_id_hi", "uint64", "upper half of the event id", nullable=False),
    Column("event_id_lo", "uint64", "lower half", nullable=False),
    Column("journal_position", "int64", "the correction that took it back", nullable=False),
    Column("revision", "int16", "revision that the event has if it comes again", nullable=False),
    Column("quantity", "int64", "what it would have been charged for"),
    Column("state", "code", "why", Withdrawal, nullable=False),
))
_EXTENSIVE = ("duration_s", "uplink_octets", "downlink_octets", "quantity", "billed_quantity", "allowance_quantity")
# Columns that a reversal negates.
MEASURES = tuple(c.name for c in RATED.columns
                 if c.name in _EXTENSIVE or (c.name.endswith("_nanos") and "before" not in c.name))
# Every change of an account's state or of the end of its validity, whatever made it. A row is the state from then on.
ACCOUNT_STATE = ColumnSet("account_state", 1, (
    Column("movement_hi", "uint64", "the command, clock or event that made it", nullable=False),
    Column("movement_lo", "uint64", "lower half", nullable=False),
    Column("journal_position", "int64", "journal entry", nullable=False),
    Column("event_time_us", "time", "since when", nullable=False),
    Column("account_id", "int64", "whose", nullable=False),
    Column("state_before", "code", "what it was", AccountState, nullable=False),
    Column("state", "code", "what it is", AccountState, nullable=False),
    Column("valid_until_us", "time", "end of the account's validity; absent: none"),
    Column("cause", "code", "what made it", StateCause, nullable=False),
))
