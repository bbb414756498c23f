"""Granting buckets of the catalogue: by a command, or by the rule of a top-up."""

from rating.book import NEVER_US
from rating.commands.context import Context, RefusedError
from rating.commands.movement import Movement
from rating.kernels.buckets import spill_bucket_nb
from rating.kernels.layout import B_DUE, B_SPILLED, MAX_GRANTED
from reference_data.tariffs.compile import definition_key
from reference_data.tariffs.granting import parse_amount
from reference_data.tariffs.model import Allowance
from schemas.codes import LedgerAccount, PostingReason, Reason, Unit
from schemas.money import MAX_NANOS
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT
from schemas.timepoint import SECOND_US

LARGEST = 1 << 60
CATALOGUE = ""  # stands for the plan in the keys of buckets that belong to none


def grant(context: Context, movement: Movement) -> None:
    """A bucket of the catalogue, with the amount and validity that the command or the catalogue says."""
    version = context.version()
    name = context.text("bucket")
    if version is None or name not in version.buckets:
        raise RefusedError.told(f"bucket {name[:40]!r}", "one of `buckets` of the tariff in force")
    bucket = version.buckets[name]
    amount = None
    if "amount" in context.command:
        try:
            amount = parse_amount(context.text("amount"), bucket.unit)
        except ValueError:
            raise RefusedError.told("amount: no such amount", "units of the bucket, such as \"5 GiB\", or money"
                                    ) from None
    from_us = context.instant("from", context.time_us)
    to_us = context.instant("to", NEVER_US) if "to" in context.command else None
    give_bucket(context, movement, bucket, PostingReason.GRANT, amount, from_us, to_us)


def give_bucket(context: Context, movement: Movement, bucket: Allowance, reason: PostingReason,
                amount: int | None = None, from_us: int | None = None, to_us: int | None = None,
                against: LedgerAccount = LedgerAccount.GRANT) -> None:
    """Grant it to the command's account. Refused before anything is changed.

    The last bits of the id tell an account's grants of one bucket apart: those of the movement's hash, or the next
    that are free.
    """
    book, row = context.book, context.row
    amount = bucket.amount if amount is None else amount
    from_us = context.time_us if from_us is None else from_us
    if to_us is None:
        to_us = NEVER_US if bucket.validity_s is None else from_us + bucket.validity_s * SECOND_US
    version = context.version()
    if not 0 < amount <= (MAX_NANOS if bucket.unit == Unit.MONEY else LARGEST) or to_us <= from_us or (
            to_us <= context.time_us):
        raise RefusedError.told("a bucket of nothing, of too much, or that is over",
                                "more than 0, and an end that is to come")
    if bucket.unit == Unit.MONEY and (version is None or version.currency != context.currency(row)):
        raise RefusedError.told("a bucket of money in another currency than the account's", context.currency(row))
    held = book.granted_ids(row)
    if len(held) >= MAX_GRANTED:
        raise RefusedError(Reason.TOO_MANY_BUCKETS)
    key, number = definition_key(CATALOGUE, bucket), context.movement[1]
    last = (1 << BUCKET_CYCLE_SHIFT) - 1
    while key | (number & last) in held:
        number += 1
    bucket_id = key | (number & last)
    if book.scalars[B_SPILLED] == book.spill.shape[0]:
        book.grow_spill()
    spill_bucket_nb(book.profile, book.spill, book.scalars, row, bucket_id, amount, from_us, to_us)
    book.scalars[B_DUE] = min(int(book.scalars[B_DUE]), to_us)
    movement.pair(row, LedgerAccount.ALLOWANCE, against, bucket.unit, amount, reason, bucket_id)
