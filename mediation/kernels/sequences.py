"""Steps of a sequence that are not by one."""

from numba import types

from schemas.jit import I64_IN, I64_OUT, kernel

ABSENT = -1
GAP, LATE = range(2)


@kernel(types.int64(I64_IN, types.int64, I64_OUT, types.int64[:, ::1]))
def irregular_nb(sequence, modulo, high, found):
    """Runs that break the count, as rows (GAP or LATE, first, last) of `found`; returns how many.

    high (1,): the highest number so far, unwrapped, ABSENT before the first; moves on. LATE runs are numbers at or
    below it. With a modulo, a number stands for the nearest one to the highest so far.
    """
    count = 0
    for i in range(sequence.size):
        number = sequence[i]
        if number == ABSENT:
            continue
        if high[0] == ABSENT:
            high[0] = number
            continue
        step = number - high[0]
        if modulo > 0:
            step %= modulo
            if step > modulo // 2:
                step -= modulo
        number = high[0] + step
        if step > 1:
            found[count, 0], found[count, 1], found[count, 2] = GAP, high[0] + 1, number - 1
            count += 1
        elif step <= 0:
            if count > 0 and found[count - 1, 0] == LATE and found[count - 1, 2] + 1 == number:
                found[count - 1, 2] = number
            else:
                found[count, 0], found[count, 1], found[count, 2] = LATE, number, number
                count += 1
        if step > 0:
            high[0] = number
    return count
