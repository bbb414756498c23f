"""AVPs into a buffer. What does not fit is counted but not written: the caller compares the end with the room."""

from schemas.jit import kernel

ABSENT = -1
M, V, VM = 0x40, 0x80, 0xC0
TGPP = 10415
TO_1970 = 2_208_988_800


@kernel(None, forceinline=True)
def put_nb(out, at, octet):
    out[at] = octet & 0xFF


@kernel(None)
def put32_nb(out, at, value):
    """Four octets, and where to go on."""
    if at + 4 <= out.size:
        put_nb(out, at, value >> 24)
        put_nb(out, at + 1, value >> 16)
        put_nb(out, at + 2, value >> 8)
        put_nb(out, at + 3, value)
    return at + 4


@kernel(None)
def octets_nb(out, at, source, start, length):
    """Octets of another buffer, padded with zeros to whole words."""
    stop = at + (length + 3 & ~3)
    if stop <= out.size:
        for i in range(length):
            out[at + i] = source[start + i]
        for i in range(at + length, stop):
            out[i] = 0
    return stop


@kernel(None)
def head_nb(out, at, code, flags, length):
    """Header of an AVP whose payload has `length` octets."""
    vendor = flags & V
    at = put32_nb(out, at, code)
    at = put32_nb(out, at, flags << 24 | length + (12 if vendor else 8))
    if vendor:
        at = put32_nb(out, at, TGPP)
    return at


@kernel(None)
def avp32_nb(out, at, code, flags, value):
    return put32_nb(out, head_nb(out, at, code, flags, 4), value)


@kernel(None)
def avp64_nb(out, at, code, flags, value):
    at = head_nb(out, at, code, flags, 8)
    return put32_nb(out, put32_nb(out, at, value >> 32), value)


@kernel(None)
def given32_nb(out, at, code, flags, value):
    """An AVP of 32 bits, unless there is no value."""
    if value == ABSENT:
        return at
    return avp32_nb(out, at, code, flags, value)


@kernel(None)
def time_nb(out, at, code, flags, time_us):
    """A time in whole seconds, unless there is none."""
    if time_us == ABSENT:
        return at
    return avp32_nb(out, at, code, flags, time_us // 1_000_000 + TO_1970 & 0xFFFFFFFF)


@kernel(None)
def text_nb(out, at, code, flags, source, reference):
    """An AVP with the octets that a reference means, unless there is none."""
    if reference == ABSENT:
        return at
    length = reference & 0xFFFF
    return octets_nb(out, head_nb(out, at, code, flags, length), source, reference >> 16, length)


@kernel(None)
def close_nb(out, begin, at):
    """Write the length of a group, or of a message, that began at `begin` and ends at `at`: whole words always."""
    if at <= out.size:
        length = at - begin
        put_nb(out, begin + 5, length >> 16)
        put_nb(out, begin + 6, length >> 8)
        put_nb(out, begin + 7, length)
    return at


@kernel(None)
def value_nb(out, at, digits, exponent):
    """Unit-Value."""
    begin = at
    at = avp64_nb(out, head_nb(out, at, 445, M, 0), 447, M, digits)
    if exponent != 0:
        at = avp32_nb(out, at, 429, M, exponent)
    return close_nb(out, begin, at)


@kernel(None)
def message_nb(out, at, flags, command, application, hop, end):
    """A message header; `finish_nb` writes the length."""
    at = put32_nb(out, at, 1 << 24)
    at = put32_nb(out, at, flags << 24 | command)
    at = put32_nb(out, put32_nb(out, at, application), hop)
    return put32_nb(out, at, end)


@kernel(None)
def finish_nb(out, begin, at):
    """Write the length of a message that began at `begin` and ends at `at`."""
    if at <= out.size:
        length = at - begin
        put_nb(out, begin + 1, length >> 16)
        put_nb(out, begin + 2, length >> 8)
        put_nb(out, begin + 3, length)
    return at
