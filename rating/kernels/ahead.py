"""Ask ahead for the lines that the next events need: one wait for many instead of one each. Changes nothing but time.
"""

from rating.kernels.layout import (
    BUCKET_ID,
    C_REASON,
    C_ROW,
    C_SHARED_ROW,
    F_ACCOUNT,
    F_SHARED,
    MONEY,
    U_ACCOUNT,
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


@kernel(None, error_model="numpy", forceinline=True)
def find_accounts_nb(usage, first, stop, index, profile, choice, at):
    """Fill choice[C_ROW] from row `at` on for usage rows first to stop, and ask for the profiles of the accounts."""
    for i in range(first, stop):
        ask_for(index, account_home_nb(index, usage[U_ACCOUNT, i]), 0)
    for i in range(first, stop):
        row = find_account_nb(index, usage[U_ACCOUNT, i])
        choice[C_ROW, at + i - first] = row
        if row >= 0:
            ask_for(profile, row, F_ACCOUNT)
    for j in range(at, at + stop - first):
        row = choice[C_ROW, j]
        if row >= 0 and profile[row, F_SHARED] >= 0:
            ask_for(profile, profile[row, F_SHARED], F_ACCOUNT)


@kernel(None, error_model="numpy", forceinline=True)
def ask_to_fold_nb(usage, first, stop, choice, at, records, profile, sessions):
    """Ask for the records, profiles and sessions that usage rows first to stop will meet."""
    for i in range(first, stop):
        j = at + i - first
        if choice[C_REASON, j] == 0:
            row, shared = choice[C_ROW, j], choice[C_SHARED_ROW, j]
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
