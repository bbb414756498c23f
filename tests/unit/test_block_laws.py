"""Every block is held to the laws before anyone sees it: each violation is found; and nothing is copied for nothing."""

from dataclasses import replace

import numpy as np
import pytest

from rating.charging import charge
from rating.laws import check_movements, check_postings
from schemas.codes import LedgerAccount
from schemas.columns import Cells
from schemas.errors import InvariantError
from schemas.rated import POSTING
from schemas.usage import USAGE
from tests.rating_support import events_to_cells
from tests.unit.test_charging import TARIFFS, call, new_book

HUGE = (1 << 61) + 12_345_678_901


def block(*usage):
    return events_to_cells([event | {"id": i + 1} for i, event in enumerate(usage)], ["ims", "internet"])


def charged(cells):
    return charge(cells, 0, len(cells), 1, TARIFFS, new_book(), {"apn": ["ims", "internet"]})


EVENTS = (call(), call(quantity=61), call(quantity=100_000))  # the last is more than there is: uncollected too


def changed(**columns):
    """The block's result with the first value of columns raised by 2."""
    result = charged(block(*EVENTS))
    for name in columns:
        table, column = name.split("__")
        getattr(result, table)[column][0] += 2
    return result


@pytest.mark.parametrize(("columns", "message"), [
    (["posting__amount"], "does not sum to zero"),
    (["posting__unit"], "does not sum to zero"),
    (["posting__currency"], "does not sum to zero"),
    (["rated__charge_nanos"], "charges of"),
    (["rated__uncollected_nanos"], "uncollected"),
    (["rated__leg"], "3 events came in; 2 rated"),
])
def test_a_word_that_is_wrong_is_found(columns, message):
    check_postings(charged(block(*EVENTS)), 3)
    with pytest.raises(InvariantError, match=message):
        check_postings(changed(**dict.fromkeys(columns)), 3)


@pytest.mark.parametrize(("account", "message"), [
    (LedgerAccount.REVENUE, "charges of"), (LedgerAccount.TAX, "charges of|tax"),
    (LedgerAccount.UNCOLLECTED, "uncollected")])
def test_a_posting_to_another_account_is_found(account, message):
    result = charged(block(*EVENTS))
    accounts = result.posting["ledger_account"]
    accounts[accounts == LedgerAccount.BALANCE] = account
    with pytest.raises(InvariantError, match=message):
        check_postings(result, 3)


def test_a_lost_event_and_one_from_nothing_are_found():
    result = charged(block(*EVENTS))
    for events in (2, 4):
        with pytest.raises(InvariantError, match=f"{events} events came in"):
            check_postings(result, events)
    with pytest.raises(InvariantError, match="tax"):
        check_postings(replace(result, rated=taxed(result.rated)), 3)


def taxed(rated):
    rated["tax_nanos"] = [7, -1, -1]
    return rated


@pytest.mark.parametrize("amounts", [[5, -5, 0, 0], [5, -5, 1], [HUGE, -HUGE, HUGE, HUGE]])
def test_movements_of_nothing_of_one_row_and_of_one_sign_are_found(amounts):
    posting = Cells.empty(POSTING, len(amounts), fill=0)
    posting["amount"] = amounts
    with pytest.raises(InvariantError):
        check_movements(posting)


def test_sums_beyond_a_word_are_exact():
    posting, rated = Cells.empty(POSTING, 16, fill=0), charged(block(*[call()] * 8)).rated.take(np.arange(8))
    posting["amount"], posting["ledger_account"] = np.tile([-HUGE, HUGE], 8), np.tile(
        [LedgerAccount.BALANCE, LedgerAccount.REVENUE], 8)
    rated["charge_nanos"], rated["uncollected_nanos"] = HUGE, 0
    result = replace(charged(block()), posting=posting, rated=rated)
    check_postings(result, 8)
    rated["charge_nanos"][3] += 1
    with pytest.raises(InvariantError, match=f"charges of {8 * HUGE + 1} nanos, postings of {8 * HUGE}"):
        check_postings(result, 8)


def test_a_block_that_is_charged_whole_is_not_copied():
    cells = block(*EVENTS)
    rated = charged(cells).rated
    assert all(np.shares_memory(rated[name], cells[name]) for name in USAGE.names)
    assert np.array_equal(rated.matrix[:len(USAGE.columns)], cells.matrix)
    part = charge(cells, 1, 3, 1, TARIFFS, new_book(), {"apn": ["ims", "internet"]}).rated
    assert part["event_id_hi"].tolist() == cells["event_id_hi"][1:].tolist()


@pytest.mark.parametrize("aside", [0, 1, 2])
def test_of_what_is_set_aside_the_others_keep_their_places(aside):
    usage = list(EVENTS)
    usage[aside] = usage[aside] | {"account_id": 99}
    cells = block(*usage)
    result = charged(cells)
    kept = [row for row in range(3) if row != aside]
    assert np.array_equal(result.rated.matrix[:len(USAGE.columns)], cells.matrix[:, kept])
    assert np.array_equal(result.suspense.matrix[:len(USAGE.columns)], cells.matrix[:, [aside]])
    assert not np.shares_memory(result.rated["quantity"], cells["quantity"])


def test_many_chunks_with_something_aside_only_late_are_one_block():
    cells = block(*[call(quantity=1 + i % 50) for i in range(5_000)])
    cells["account_id"][4_500] = 99
    result = charged(cells)
    kept = np.flatnonzero(np.arange(5_000) != 4_500)
    assert np.array_equal(result.rated.matrix[:len(USAGE.columns)], cells.matrix[:, kept])
    assert result.suspense["event_id_hi"].tolist() == [cells["event_id_hi"][4_500]]
