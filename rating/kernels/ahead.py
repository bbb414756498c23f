"""Ask ahead for the lines that the next events need: one wait for many instead of one each. Changes nothing but time.
"""

from rating.kernels.layout import (
    BUCKET_ID,
    C_ACCOUNT,
    C_REASON,
    C_ROW,
    C_SHARED_ROW,
    C_SOURCE,
    F_ACCOUNT,
    F_SHARED,
    MONEY,
    U_EVENT_HI,
    U_EVENT_LO,
    U_GROUP,
    U_SERVICE_ID,
    U_SESSION_HI,
    U_SESSION_LO,
    X_CONNECTED,
    X_HI,
)
from rating.kernels.maintain import account_home_nb, find_account_nb
from rating.kernels.sessions import session_home_nb, session_key_nb
from schemas.jit import kernel
from schemas.prefetch import ask_for

AHEAD = 64  # events: what they need stays in the first level of the cache
SOON = 16   # events: as long as it takes to fold them, what the next one needs is on its way
_LINE = 8   # rows of a column in a line of the cache


@kernel(None, error_model="numpy", forceinline=True)
def find_accounts_nb(choice, first, stop, index, profile):
    """Fill C_ROW from C_ACCOUNT for rows first to stop of the choice, and ask for the profiles of the accounts."""
    for at in range(first, stop):
        ask_for(index, account_home_nb(index, choice[C_ACCOUNT, at]), 0)
    for at in range(first, stop):
        row = find_account_nb(index, choice[C_ACCOUNT, at])
        choice[C_ROW, at] = row
        if row >= 0:
            ask_for(profile, row, F_ACCOUNT)
    for at in range(first, stop):
        row = choice[C_ROW, at]
        if row >= 0 and profile[row, F_SHARED] >= 0:
            ask_for(profile, profile[row, F_SHARED], F_ACCOUNT)


@kernel(None, error_model="numpy", forceinline=True)
def ask_to_fold_nb(usage, choice, first, stop, records, profile, sessions):
    """Ask for the records, profiles and sessions that rows first to stop of the choice will meet."""
    for at in range(first, stop):
        if choice[C_REASON, at] == 0:
            i, row, shared = choice[C_SOURCE, at], choice[C_ROW, at], choice[C_SHARED_ROW, at]
            ask_for(records, row, MONEY)
            ask_for(records, row, BUCKET_ID)
            ask_for(profile, row, F_ACCOUNT)
            if shared >= 0:
                ask_for(records, shared, MONEY)
                ask_for(records, shared, BUCKET_ID)
                ask_for(profile, shared, F_ACCOUNT)
            if usage[U_SESSION_HI, i] != usage[U_EVENT_HI, i] or usage[U_SESSION_LO, i] != usage[U_EVENT_LO, i]:
                hi, lo = session_key_nb(usage[U_SESSION_HI, i], usage[U_SESSION_LO, i], usage[U_GROUP, i],
                                        usage[U_SERVICE_ID, i])
                place = session_home_nb(sessions, hi, lo)
                ask_for(sessions, place, X_HI)
                ask_for(sessions, place, X_CONNECTED)


@kernel(None, error_model="numpy", forceinline=True)
def ask_to_write_nb(cells, row):
    """Ask for the lines of all columns that come to be written after this row; more columns than processors foresee."""
    if row & (_LINE - 1) == 0:
        soon = min(row + 2 * _LINE, cells.shape[1] - 1)
        for column in range(cells.shape[0]):
            ask_for(cells, column, soon)
