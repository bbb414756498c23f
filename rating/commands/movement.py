"""The rows that a command writes: postings in pairs that sum to zero, and changes of account states."""

from rating.book import NEVER_US
from rating.commands.context import Context, RefusedError
from rating.days import enter_state
from rating.kernels.layout import F_CREDIT, L_SINCE, L_VALID, MONEY, STATE
from reference_data.accounts import STATES
from schemas.codes import LedgerAccount, PostingReason, StateCause, Unit
from schemas.columns import ABSENT, Cells
from schemas.money import MAX_NANOS, format_money
from schemas.rated import ACCOUNT_STATE, POSTING


class Movement:
    """Collects rows; nothing is written until `posting` and `states` are asked for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pairs: list[tuple[int, ...]] = []
        self._states: list[tuple[int, ...]] = []
        self.parts: list[Cells] = []        # posting rows that kernels wrote, after those of `pair`
        self.state_parts: list[Cells] = []

    def pair(self, row: int, customer_side: int, operator_side: int, unit: int, amount: int, reason: int,
             bucket: int = ABSENT) -> None:
        """`amount` to the customer's side, its negative to the operator's."""
        if amount == 0:
            return
        book = self._context.book
        currency = self._context.currency_label(row) if unit == Unit.MONEY else ABSENT
        account = int(book.account_ids[row])
        self._pairs.append((account, customer_side, bucket, unit, currency, amount, reason))
        self._pairs.append((account, operator_side, ABSENT, unit, currency, -amount, reason))

    def money(self, row: int, nanos: int, against: LedgerAccount, reason: PostingReason) -> None:
        """Money to an account's balance from an operator's account. Refused below the credit limit."""
        book = self._context.book
        balance = int(book.records[row, MONEY]) + nanos
        credit = int(book.profile[row, F_CREDIT])
        if abs(balance) >= MAX_NANOS:
            raise RefusedError.told("amount: more than a balance can be")
        if nanos < 0 and balance < -credit:
            available = format_money(balance - nanos + credit)
            raise RefusedError.told(f"{format_money(-nanos)} of {available} that can be spent", "no more than that")
        book.records[row, MONEY] = balance
        self.pair(row, LedgerAccount.BALANCE, against, Unit.MONEY, nanos, reason)

    def state(self, row: int, state: int, valid_until_us: int, time_us: int, cause: StateCause) -> None:
        """Bring an account into a state, or move its validity; nothing is written where neither changes."""
        book = self._context.book
        before = int(book.records[row, STATE])
        if state == before and valid_until_us == int(book.life[row, L_VALID]):
            return
        book.records[row, STATE] = state
        book.life[row, L_VALID] = valid_until_us
        if state != before:
            book.life[row, L_SINCE] = time_us
            enter_state(book, row, before, state, time_us)
        all_active = book.all_active
        book.timers_due()
        # What is known of all needs no look at all of them again.
        book.all_active = all_active if state == STATES.index("active") else False
        self._states.append((int(book.account_ids[row]), time_us, before, state, valid_until_us, cause))

    def posting(self) -> Cells:
        cells = Cells.empty(POSTING, len(self._pairs), fill=ABSENT)
        if self._pairs:
            cells["movement_hi"], cells["movement_lo"] = self._context.movement
            cells["posting_index"] = range(len(self._pairs))
            cells["journal_position"] = self._context.position
            cells["event_time_us"] = self._context.time_us
            for name, values in zip(("account_id", "ledger_account", "bucket_id", "unit", "currency", "amount",
                                     "reason"), zip(*self._pairs, strict=True), strict=True):
                cells[name] = values
        return Cells.concat(POSTING, [cells, *self.parts]) if self.parts else cells

    def states(self) -> Cells:
        cells = state_cells(self._states, self._context.movement, self._context.position)
        return Cells.concat(ACCOUNT_STATE, [cells, *self.state_parts]) if self.state_parts else cells


def state_cells(rows: list[tuple[int, ...]], movement: tuple[int, int], position: int) -> Cells:
    """ACCOUNT_STATE cells of (account, time, before, after, valid until, cause) rows."""
    cells = Cells.empty(ACCOUNT_STATE, len(rows), fill=ABSENT)
    if rows:
        cells["movement_hi"], cells["movement_lo"] = movement
        cells["journal_position"] = position
        for name, values in zip(("account_id", "event_time_us", "state_before", "state", "valid_until_us", "cause"),
                                zip(*rows, strict=True), strict=True):
            cells[name] = values
        cells["valid_until_us"] = [ABSENT if row[4] >= NEVER_US else row[4] for row in rows]
    return cells
