"""BER, written backwards: contents first, then their length, then the tag, so that every length is known and minimal.

Each function writes below position `p` of `out` and returns the new position. Source: ITU-T X.690; TBCD and address
strings TS 29.002; TimeStamp TS 32.298.
"""

from numba import types

from schemas.jit import I64_IN, U8_IN, U8_OUT, kernel

I64 = types.int64
CONTEXT, CONSTRUCTED = 0x80, 0xA0
SEQUENCE, ENUMERATED = 0x30, 0x0A
MAX_RECORD = 1024  # octets of the longest record with its frame, with room to spare


@kernel(I64(U8_OUT, I64, I64, I64, I64))
def head_nb(out, p, end, form, number):
    """Length and tag of the contents at [p, end). `form`: class and constructed bits."""
    length = end - p
    if length < 128:
        p -= 1
        out[p] = length
    elif length < 256:
        out[p - 1] = length
        out[p - 2] = 0x81
        p -= 2
    else:
        out[p - 1] = length & 255
        out[p - 2] = length >> 8
        out[p - 3] = 0x82
        p -= 3
    if number < 31:
        p -= 1
        out[p] = form | number
    elif number < 128:
        out[p - 1] = number
        out[p - 2] = form | 31
        p -= 2
    else:
        out[p - 1] = number & 127
        out[p - 2] = 0x80 | number >> 7
        out[p - 3] = form | 31
        p -= 3
    return p


@kernel(I64(U8_OUT, I64, I64, I64))
def universal_nb(out, p, end, tag):
    """Length and a universal tag of one octet."""
    p = head_nb(out, p, end, 0, 0)
    out[p] = tag
    return p


@kernel(I64(I64_IN, I64))
def offset_nb(zone, at_s):
    """Offset to UTC in seconds: zone holds the instant of the change, the offset before it and after it."""
    return zone[1] if at_s < zone[0] else zone[2]


@kernel(I64(U8_OUT, I64, I64, I64))
def int_nb(out, p, number, value):
    """INTEGER or ENUMERATED under a context tag; value >= 0."""
    end = p
    while True:
        p -= 1
        octet = value & 255
        out[p] = octet
        value >>= 8
        if value == 0 and octet < 128:
            break
    return head_nb(out, p, end, CONTEXT, number)


@kernel(I64(U8_OUT, I64, I64))
def true_nb(out, p, number):
    """BOOLEAN true under a context tag."""
    out[p - 1] = 255
    return head_nb(out, p - 1, p, CONTEXT, number)


@kernel(I64(U8_OUT, I64, I64))
def tbcd_nb(out, p, packed):
    """Digits, two an octet, low nibble first, filler F; no tag."""
    digits = 0
    rest = packed
    while rest > 0:
        digits += 1
        rest >>= 4
    if digits & 1:
        p -= 1
        out[p] = 0xF0 | (packed & 15) - 1
        packed >>= 4
    while packed > 0:
        p -= 1
        out[p] = ((packed & 15) - 1) << 4 | (packed >> 4 & 15) - 1
        packed >>= 8
    return p


@kernel(I64(U8_OUT, I64, I64, I64))
def digits_nb(out, p, number, packed):
    """TBCD under a context tag: IMSI, IMEI."""
    return head_nb(out, tbcd_nb(out, p, packed), p, CONTEXT, number)


@kernel(I64(U8_OUT, I64, I64, I64, I64))
def address_nb(out, p, number, nature, packed):
    """Address string: nature and plan octet (0x91 international E.164, 0x81 unknown), then TBCD."""
    end = p
    p = tbcd_nb(out, p, packed) - 1
    out[p] = nature
    return head_nb(out, p, end, CONTEXT, number)


@kernel(I64(U8_OUT, I64, I64))
def characters_nb(out, p, packed):
    """Digits as characters; no tag."""
    while packed > 0:
        p -= 1
        out[p] = 47 + (packed & 15)
        packed >>= 4
    return p


@kernel(I64(U8_OUT, I64, U8_IN))
def raw_nb(out, p, text):
    """Octets as they are; no tag."""
    p -= text.size
    for i in range(text.size):
        out[p + i] = text[i]
    return p


@kernel(I64(U8_OUT, I64, I64, U8_IN))
def octets_nb(out, p, number, text):
    """Octets or text under a context tag."""
    return head_nb(out, raw_nb(out, p, text), p, CONTEXT, number)


@kernel(I64(U8_OUT, I64, I64))
def two_digits_nb(out, p, value):
    """A number below 100 as one BCD octet; no tag."""
    out[p - 1] = value // 10 << 4 | value % 10
    return p - 1


@kernel(I64(U8_OUT, I64, I64, I64, I64))
def time_nb(out, p, number, utc_s, offset_s):
    """TimeStamp: local time in BCD with its offset to UTC, nine octets."""
    end = p
    offset = abs(offset_s) // 60
    p = two_digits_nb(out, p, offset % 60)
    p = two_digits_nb(out, p, offset // 60)
    p -= 1
    out[p] = 0x2D if offset_s < 0 else 0x2B
    local = utc_s + offset_s
    second = local % 86400
    p = two_digits_nb(out, p, second % 60)
    p = two_digits_nb(out, p, second // 60 % 60)
    p = two_digits_nb(out, p, second // 3600)
    # Civil date from days since 1970; source: Howard Hinnant, "chrono-compatible low-level date algorithms".
    z = local // 86400 + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    p = two_digits_nb(out, p, doy - (153 * mp + 2) // 5 + 1)
    month = mp + 3 if mp < 10 else mp - 9
    p = two_digits_nb(out, p, month)
    p = two_digits_nb(out, p, (yoe + (1 if month <= 2 else 0)) % 100)
    return head_nb(out, p, end, CONTEXT, number)


@kernel(I64(U8_OUT, I64, I64))
def ipv4_inner_nb(out, p, address):
    """IPAddress: a binary IPv4 address, tag 0."""
    end = p
    for _ in range(4):
        p -= 1
        out[p] = address & 255
        address >>= 8
    return head_nb(out, p, end, CONTEXT, 0)


@kernel(I64(U8_OUT, I64, I64, I64))
def ipv4_nb(out, p, number, address):
    """A binary IPv4 address under a context tag of its own (IPAddress is a choice, so its tag stays)."""
    return head_nb(out, ipv4_inner_nb(out, p, address), p, CONSTRUCTED, number)


@kernel(I64(U8_OUT, I64, I64, I64))
def plmn_nb(out, p, number, plmn):
    """PLMN-Id of MCC * 1000 + MNC (two digits), three octets. Source: TS 29.060 (RAI, octets 2 to 4)."""
    end = p
    mcc, mnc = plmn // 1000, plmn % 1000
    p -= 1
    out[p] = mnc % 10 << 4 | mnc // 10
    p -= 1
    out[p] = 0xF0 | mcc % 10
    p -= 1
    out[p] = mcc // 10 % 10 << 4 | mcc // 100
    return head_nb(out, p, end, CONTEXT, number)


@kernel(I64(U8_OUT, I64, U8_OUT, I64, I64))
def frame_nb(scratch, p, out, position, technical_specification):
    """Copy the record at scratch[p:] to `out` behind a TS 32.297 record header.

    Header, five octets: length, release 7 and version 6, format BER with the number of the specification, release
    extension. Returns the new position.
    """
    length = scratch.size - p
    out[position] = length >> 8
    out[position + 1] = length & 255
    out[position + 2] = 7 << 5 | 6
    out[position + 3] = 1 << 5 | technical_specification
    out[position + 4] = 6
    position += 5
    for i in range(length):
        out[position + i] = scratch[p + i]
    return position + length
