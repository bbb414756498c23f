"""Octets as int64: uint8 beside int64 becomes uint64 or even a float in Numba.

The BER kernels are compiled without Numba's reference counting (`_nrt=False`): they allocate nothing, and counting
the arrays that they hand to each other took six tenths of their time.
"""

import numpy as np

from schemas.jit import kernel


@kernel(None, _nrt=False)
def at_nb(buffer, position):
    """The octet at `position`, 0 to 255. An unsigned index spares the look for a negative one."""
    return np.int64(buffer[np.uint64(position)])
