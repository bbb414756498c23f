"""The outer shape of a JSON text: how deep, how wide, whether an object names a key twice.

A decoder takes the last of two equal keys; whoever stands between may have read the first (RFC 8259 4). Usage that is
counted must not depend on that. This looks at brackets and strings alone: whether it is JSON is the decoder's to say.
"""

import numpy as np
from numba import types

from schemas.hashing import bytes_hash_nb
from schemas.jit import I64_OUT, U8_IN, U64_OUT, kernel

SOUND, TOO_DEEP, TOO_WIDE, REPEATED_KEY, ESCAPED_KEY = range(5)
DEPTH = 32      # objects and arrays in each other
KEYS = 2048     # keys that are open at once: of an object and of those around it
_SEED = np.uint64(0x6E6368666B657973)


@kernel(types.int64(U8_IN, I64_OUT, U64_OUT))
def shape_nb(text, first, keys):
    """One of the above.

    first: (DEPTH + 1,), keys: (KEYS,); room to work in. ESCAPED_KEY: a key is written with escapes, so that equal keys
    may look unlike; another has to tell.
    """
    depth = 0
    count = 0
    result = SOUND
    i = 0
    size = text.size
    first[0] = 0
    while i < size:
        c = text[i]
        if c == 34:  # a string: key or value
            start = i + 1
            escaped = False
            i = start
            while i < size and text[i] != 34:
                if text[i] == 92:
                    escaped = True
                    i += 1
                i += 1
            end = i
            i += 1
            while i < size and (text[i] == 32 or text[i] == 9 or text[i] == 10 or text[i] == 13):
                i += 1
            if i < size and text[i] == 58:  # a colon: it was a key
                i += 1
                if escaped:
                    result = ESCAPED_KEY
                if count == KEYS:
                    return TOO_WIDE
                found = bytes_hash_nb(text, start, end - start, _SEED)
                for other in range(first[depth], count):
                    if keys[other] == found:
                        return REPEATED_KEY
                keys[count] = found
                count += 1
            continue
        if c == 123 or c == 91:
            depth += 1
            if depth > DEPTH:
                return TOO_DEEP
            first[depth] = count
        elif (c == 125 or c == 93) and depth > 0:
            count = first[depth]
            depth -= 1
        i += 1
    return result
