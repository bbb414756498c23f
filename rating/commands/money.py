"""Commands that move money: top-up, adjustment, transfer; the credit limit."""

from rating.book import NEVER_US
from rating.commands.context import Context, RefusedError
from rating.commands.grants import give_bucket
from rating.commands.movement import Movement
from rating.kernels.layout import F_CREDIT, L_VALID, STATE
from reference_data.accounts import STATES
from reference_data.tariffs.model import TopUpRule
from schemas.codes import LedgerAccount, PostingReason, StateCause
from schemas.money import MAX_NANOS, format_money, parse_money
from schemas.timepoint import SECOND_US

ACTIVE, ONE_WAY = STATES.index("active"), STATES.index("one_way")


def top_up(context: Context, movement: Movement) -> None:
    """The amount, then what the first matching rule adds: a bonus, a bucket, validity."""
    nanos = context.amount()
    if nanos <= 0:
        raise RefusedError.told("amount: nothing to top up", "more than 0")
    version, book, row = context.version(), context.book, context.row
    rule = None
    if version is not None and version.currency == context.currency(row):
        rule = _rule(version.top_ups, nanos)
    bonus = 0
    if rule is not None:
        bonus = rule.bonus_nanos + nanos * rule.bonus_percent.numerator // (rule.bonus_percent.denominator * 100)
    if book.money(row) + nanos + bonus >= MAX_NANOS:
        raise RefusedError.told("amount: more than a balance can be")
    if rule is not None and rule.bucket is not None and version is not None:
        give_bucket(context, movement, version.buckets[rule.bucket], PostingReason.BONUS)  # first: it may be refused
    movement.money(row, nanos, LedgerAccount.TOP_UP, PostingReason.TOP_UP)
    if bonus:
        movement.money(row, bonus, LedgerAccount.GRANT, PostingReason.BONUS)
    if rule is not None and rule.extends_s is not None:
        until = context.time_us + rule.extends_s * SECOND_US
        now, state = int(book.life[row, L_VALID]), int(book.records[row, STATE])
        movement.state(row, ACTIVE if state == ONE_WAY else state, until if now >= NEVER_US else max(now, until),
                       context.time_us, StateCause.TOP_UP)


def _rule(rules: tuple[TopUpRule, ...], nanos: int) -> TopUpRule | None:
    for rule in rules:
        if rule.least_nanos <= nanos and (rule.most_nanos is None or nanos <= rule.most_nanos):
            return rule
    return None


def adjust(context: Context, movement: Movement) -> None:
    """An amount of either sign, against the adjustment account."""
    nanos = context.amount()
    if nanos == 0:
        raise RefusedError.told("amount: 0", "an amount of either sign")
    movement.money(context.row, nanos, LedgerAccount.ADJUSTMENT, PostingReason.ADJUSTMENT)


def transfer(context: Context, movement: Movement) -> None:
    """Money from one account to another through clearing, which comes back to zero; the sender pays the fee."""
    nanos = context.amount()
    other = context.other_row("to_account_id")
    fee = 0
    if "fee" in context.command:
        try:
            fee = parse_money(context.text("fee"))
        except ValueError:
            raise RefusedError.told("fee: no amount", "decimal text such as \"0.25\"") from None
    if nanos <= 0 or fee < 0:
        raise RefusedError.told("an amount that is not above 0, or a fee below it", "more than 0, and a fee from 0 on")
    if other == context.row:
        raise RefusedError.told("to_account_id: the account itself", "another account")
    if context.currency(other) != context.currency(context.row):
        raise RefusedError.told(f"to_account_id: an account in {context.currency(other)}",
                                f"one in {context.currency(context.row)}")
    book = context.book
    if nanos + fee > (available := book.money(context.row) + int(book.profile[context.row, F_CREDIT])):
        raise RefusedError.told(f"{format_money(nanos + fee)} with the fee, of {format_money(available)} that can be "
                                "spent", "no more than that")
    if book.money(other) + nanos >= MAX_NANOS:
        raise RefusedError.told("amount: more than a balance can be")
    movement.money(context.row, -nanos, LedgerAccount.CLEARING, PostingReason.TRANSFER)
    movement.money(other, nanos, LedgerAccount.CLEARING, PostingReason.TRANSFER)
    if fee:
        movement.money(context.row, -fee, LedgerAccount.FEES, PostingReason.FEE)


def credit_limit(context: Context, _movement: Movement) -> None:
    """How far below zero usage may take the balance."""
    nanos = context.amount()
    if nanos < 0:
        raise RefusedError.told("amount: a credit limit below 0", "0 or more")
    context.book.profile[context.row, F_CREDIT] = nanos
