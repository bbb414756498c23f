"""The outer shape of a JSON text: how deep, how wide, whether an object names a key twice.

A decoder takes the last of two equal keys; whoever stands between may have read the first (RFC 8259 4). Usage that is
counted must not depend on that. This looks at brackets and strings alone: whether it is JSON is the decoder's to say.
"""

from numba import types

from schemas.jit import I64_OUT, U8_IN, kernel

SOUND, TOO_DEEP, TOO_WIDE, REPEATED_KEY, ESCAPED_KEY = range(5)
DEPTH = 32      # objects and arrays in each other
KEYS = 512      # keys that are open at once: of an object and of those around it


@kernel(types.int64(U8_IN, I64_OUT, I64_OUT))
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
        i += 1
        if c == 34:  # a string: key or value
            start = i
            escaped = False
            while i < size and text[i] != 34:
                if text[i] == 92:
                    escaped = True
                    i += 1
                i += 1
            end = min(i, size)
            i += 1
            while i < size and (text[i] == 32 or text[i] == 9 or text[i] == 10 or text[i] == 13):
                i += 1
            if i < size and text[i] == 58:  # a colon: it was a key
                i += 1
                if escaped:
                    result = ESCAPED_KEY
                if count == KEYS:
                    return TOO_WIDE
                length = end - start
                # Length, and the octets by which names of one length mostly differ; then all of them.
                mark = length << 24
                if length > 0:
                    mark |= text[start] << 16 | text[start + length // 2] << 8 | text[end - 1]
                for other in range(first[depth], count):
                    if keys[other] & 0xFFFFFFFFFF == mark & 0xFFFFFFFFFF:
                        at = keys[other] >> 40
                        same = 0
                        while same < length and text[at + same] == text[start + same]:
                            same += 1
                        if same == length:
                            return REPEATED_KEY
                keys[count] = start << 40 | mark
                count += 1
        elif c == 123 or c == 91:
            depth += 1
            if depth > DEPTH:
                return TOO_DEEP
            first[depth] = count
        elif (c == 125 or c == 93) and depth > 0:
            count = first[depth]
            depth -= 1
    return result
