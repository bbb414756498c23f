"""Answers remembered one by one, so that an older request that comes again is answered as it was.

A ring of rows for all sessions: what is written is one row after the other, and the oldest give way. Those of a session
are chained from its last one back, so that nothing is searched but where a request is a repeated one.
"""

import numpy as np

from rating.kernels.online_layout import (
    N_GIVEN,
    O_ANSWERED,
    O_HI,
    O_LO,
    R_BEFORE,
    R_CODES,
    R_GIVEN,
    R_GRANTED,
    R_GROUP,
    R_HI,
    R_LO,
    R_NUMBER,
    R_PLACE,
    R_SERVICE_ID,
    TOLD,
    WINDOW,
    Z_CODE,
    Z_GRANTED,
    Z_MESSAGE_CODE,
)
from schemas.jit import kernel

_CODE_BITS = 32


@kernel(None, error_model="numpy", forceinline=True)
def remember_nb(given, counts, sessions, row, number, group, service_identifier, place, received_us, answer, i):
    """Remember what row `place` of a message was answered; the oldest answer of all gives way."""
    counts[N_GIVEN] += 1
    nth = counts[N_GIVEN]
    kept = given[nth % given.shape[0]]
    kept[R_HI] = sessions[row, O_HI]
    kept[R_LO] = sessions[row, O_LO]
    kept[R_NUMBER] = number
    kept[R_GROUP] = group
    kept[R_SERVICE_ID] = service_identifier
    kept[R_BEFORE] = sessions[row, O_ANSWERED]
    kept[R_PLACE] = place
    kept[R_GIVEN] = received_us
    kept[R_CODES] = answer[Z_MESSAGE_CODE, i] << _CODE_BITS | answer[Z_CODE, i]
    for word in range(TOLD):
        kept[R_GRANTED + word] = answer[Z_GRANTED + word, i]
    sessions[row, O_ANSWERED] = nth


@kernel(None, error_model="numpy")
def tell_again_nb(given, counts, sessions, row, number, group, service_identifier, place, answer, i):
    """Answer row `place` of a repeated message as it was; whether that is remembered. Of a service that the message did
    not name when it came first, the message's code alone is told."""
    oldest, nth = counts[N_GIVEN] - given.shape[0], sessions[row, O_ANSWERED]
    found, same = np.int64(-1), False
    while nth > max(oldest, 0) and not same:
        at = nth % given.shape[0]
        if given[at, R_NUMBER] + WINDOW < number:
            break  # the session was not so far when that was given: everything before it is of earlier requests
        if given[at, R_NUMBER] == number:
            if found < 0:
                answer[Z_MESSAGE_CODE, i] = given[at, R_CODES] >> _CODE_BITS
                answer[Z_CODE, i] = answer[Z_MESSAGE_CODE, i]
            if given[at, R_GROUP] == group and given[at, R_SERVICE_ID] == service_identifier:
                same = given[at, R_PLACE] == place
                found = at if same or found < 0 else found
        nth = given[at, R_BEFORE]
    if found < 0:
        return False
    kept = given[found]
    answer[Z_MESSAGE_CODE, i] = kept[R_CODES] >> _CODE_BITS
    answer[Z_CODE, i] = kept[R_CODES] & ((1 << _CODE_BITS) - 1)
    for word in range(TOLD):
        answer[Z_GRANTED + word, i] = kept[R_GRANTED + word]
    return True


@kernel(None, error_model="numpy")
def forget_given_nb(given, counts, sessions, row):
    """Forget what a session was answered: another of the same key has nothing of it."""
    oldest, nth = max(counts[N_GIVEN] - given.shape[0], 0), sessions[row, O_ANSWERED]
    while nth > oldest:
        at = nth % given.shape[0]
        given[at, R_HI] = 0
        given[at, R_LO] = 0
        nth = given[at, R_BEFORE]
    sessions[row, O_ANSWERED] = 0
