"""Currencies of Credit-Control-Requests: what their accounts have, and whether what they name is that."""

from numba import types

from pipelines.diameter.columns import BLOCK, MONEY, UNIT
from pipelines.serve.kernels.gy import R_MESSAGE, R_UNIT
from rating.kernels.layout import F_TRAITS, TRAIT_CURRENCY
from rating.kernels.maintain import find_account_nb
from schemas.columns import ABSENT
from schemas.jit import CELLS_IN, I64_IN, I64_OUT, kernel
from schemas.online import REQUEST, RequestKind

Q_KIND, Q_MONEY, Q_ACCOUNT = (REQUEST.index(n) for n in ("kind", "money_nanos", "account_id"))
U_REQUESTED, U_CURRENCY = UNIT.index("requested"), UNIT.index("requested_currency")
EVENT, INITIAL = int(RequestKind.EVENT), int(RequestKind.INITIAL)
INVALID_AVP_VALUE, RATING_FAILED = 5004, 5031


@kernel(types.boolean(CELLS_IN, CELLS_IN), error_model="numpy")
def names_money_nb(requests, units):
    """Whether any request asks for money."""
    for u in range(units.shape[1]):
        if units[U_REQUESTED, u] & MONEY:
            return True
    for row in range(requests.shape[1]):
        if requests[Q_MONEY, row] != ABSENT:
            return True
    return False


@kernel(types.void(CELLS_IN, types.boolean, CELLS_IN, CELLS_IN, I64_IN, I64_OUT), error_model="numpy")
def currencies_nb(requests, all_of, index, profile, numbers, found):
    """Number of the currency of each row's account, of events alone unless `all_of` is asked; else ABSENT. numbers: of
    the book's currencies."""
    for row in range(requests.shape[1]):
        found[row] = ABSENT
        if all_of or requests[Q_KIND, row] == EVENT:
            account = find_account_nb(index, requests[Q_ACCOUNT, row])
            if account >= 0:
                found[row] = numbers[profile[account, F_TRAITS] >> TRAIT_CURRENCY & 0xFFF]


@kernel(types.int64(CELLS_IN, CELLS_IN, CELLS_IN, I64_IN, I64_OUT), error_model="numpy")
def foreign_money_nb(requests, units, route, currency, wrong):
    """Result code of each message whose money cannot be charged, 0 of the others. Returns how many there are.

    5004: it is of another currency than the account's, or no amount that can be; 5031: a session asks for money alone,
    and sessions are granted units. currency: of each row's account.
    """
    wrong[:] = 0
    for row in range(requests.shape[1]):
        u = route[R_UNIT, row]
        if u != ABSENT and units[U_REQUESTED, u] & MONEY:
            named = units[U_CURRENCY, u]
            foreign = named != ABSENT and named != currency[row] and currency[row] != ABSENT
            if foreign or requests[Q_MONEY, row] == ABSENT:
                wrong[route[R_MESSAGE, row]] = INVALID_AVP_VALUE
    for row in range(requests.shape[1]):
        u = route[R_UNIT, row]
        if u != ABSENT and requests[Q_KIND, row] == INITIAL and units[U_REQUESTED, u] & MONEY and (
                units[U_REQUESTED, u] & ~(BLOCK | MONEY) == 0):
            wrong[route[R_MESSAGE, row]] = RATING_FAILED
    count = 0
    for m in range(wrong.size):
        count += wrong[m] != 0
    return count
