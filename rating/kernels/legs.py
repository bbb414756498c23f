"""Rows of charge legs: found for the events of a chunk, and put in behind them."""

from numba import types

from rating.kernels.layout import (
    C_ACCOUNT,
    C_LEG,
    C_LEGS,
    C_REASON,
    C_ROW,
    C_SOURCE,
    C_VERSION,
    CELLS_IN,
    CELLS_OUT,
    CHOICE,
    I64_IN,
    U_OTHER_NETWORK,
)
from schemas.columns import ABSENT
from schemas.jit import kernel


@kernel(types.int64(CELLS_IN, CELLS_IN, types.int64, I64_IN, I64_IN, CELLS_IN, CELLS_OUT, CELLS_OUT),
        error_model="numpy")
def cover_nb(usage, chosen, rows, first, plan, accounts, terms, legs):
    """Every leg that covers one of the first `rows` events and has an account for it, in order; returns how many.

    Of the version with label v, leg n is row first[v] + n - 1 of plan and accounts, by network and in the last column
    without one. terms: as `select_nb` takes them. legs: of CHOICE, what `select_nb` does not find itself.
    """
    count = 0
    networks = accounts.shape[1] - 1
    for at in range(rows):
        covers = chosen[C_LEGS, at]
        if covers == 0 or chosen[C_REASON, at] != 0:
            continue
        network = usage[U_OTHER_NETWORK, chosen[C_SOURCE, at]]
        if network < 0 or network >= networks:
            network = networks
        version = chosen[C_VERSION, at]
        for term in range(first[version], first[version + 1]):
            number = term - first[version] + 1
            if covers >> (number - 1) & 1 and accounts[term, network] != ABSENT:
                terms[0, count] = plan[term]
                terms[1, count] = chosen[C_ROW, at]
                legs[C_SOURCE, count] = chosen[C_SOURCE, at]
                legs[C_ACCOUNT, count] = accounts[term, network]
                legs[C_LEG, count] = number
                count += 1
    return count


@kernel(types.int64(CELLS_IN, types.int64, CELLS_IN, types.int64, CELLS_OUT), error_model="numpy")
def interleave_nb(chosen, rows, priced, legs, merged):
    """The first `rows` events and their `legs` rows of legs, those of an event behind it; returns how many that are."""
    leg, to = 0, 0
    for at in range(rows):
        for word in range(CHOICE):
            merged[word, to] = chosen[word, at]
        to += 1
        while leg < legs and priced[C_SOURCE, leg] == chosen[C_SOURCE, at]:
            for word in range(CHOICE):
                merged[word, to] = priced[word, leg]
            to += 1
            leg += 1
    return to
