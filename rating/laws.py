"""What a block that was charged is held to before anyone sees it."""

from typing import Protocol

import numpy as np

from rating.kernels.laws import agree_nb, balanced_nb
from schemas.columns import I64, Cells
from schemas.errors import InvariantError

_UNBALANCED = "a movement does not sum to zero"


class Outcome(Protocol):
    """What charging a block came to."""

    @property
    def rated(self) -> Cells: ...

    @property
    def posting(self) -> Cells: ...

    @property
    def suspense(self) -> Cells: ...


def check_postings(charged: Outcome, events: int) -> None:
    """Every event came out once, whatever its charge legs; every movement sums to zero; charges equal what was posted
    as revenue, tax included; tax and what was not collected are what was posted as such.

    Raises InvariantError.
    """
    rated, posting, limbs = charged.rated, charged.posting, np.empty((2, 6), np.int64)
    count = agree_nb(rated["leg"], rated["charge_nanos"], rated["tax_nanos"], rated["uncollected_nanos"],
                     posting["amount"], posting["unit"], posting["currency"], posting["ledger_account"], limbs)
    if count < 0:
        raise InvariantError(_UNBALANCED)
    if count + len(charged.suspense) != events:
        raise InvariantError(f"{events} events came in; {count} rated and {len(charged.suspense)} suspended came out")
    if limbs[0].tobytes() == limbs[1].tobytes():
        return
    (charges, tax, uncollected), (revenue, taxed, lost) = _sums(limbs[0]), _sums(limbs[1])
    if revenue != charges:
        raise InvariantError(f"charges of {charges} nanos, postings of {revenue}")
    if taxed != tax:
        raise InvariantError(f"tax: {taxed} nanos posted, {tax} rated")
    raise InvariantError(f"uncollected: {lost} nanos posted, {uncollected} rated")


def check_movements(posting: Cells) -> None:
    """Every leg of every movement is two rows of one unit and currency that sum to zero. Raises InvariantError."""
    if not balanced_nb(posting["amount"], posting["unit"], posting["currency"]):
        raise InvariantError(_UNBALANCED)


def _sums(limbs: I64) -> list[int]:
    """Whole numbers of limbs."""
    return [(int(upper) << 32) + int(lower) for upper, lower in limbs.reshape(-1, 2)]
