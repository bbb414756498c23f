"""Values of AVPs: numbers, addresses, zones. Nothing here fails; what is odd is ABSENT."""

import numpy as np

from mediation.kernels.ber_values import TEXT, digits_nb, uri_nb
from mediation.kernels.octets import at_nb
from pipelines.diameter.columns import Context
from schemas.addresses import ipv6_value_nb
from schemas.codes import Reason
from schemas.hashing import mix_nb
from schemas.jit import kernel

ABSENT = -1
OK = int(Reason.OK)
OTHER, PACKET, IMS, SMS = int(Context.OTHER), int(Context.PACKET), int(Context.IMS), int(Context.SMS)
MMS, EVENT, MMTEL, VOICE = int(Context.MMS), int(Context.EVENT), int(Context.MMTEL), int(Context.VOICE)
HI_SEED, LO_SEED = np.uint64(0x9AE16A3B2F90404F), np.uint64(0xC3A5C85C97CB3127)
P1, P2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # as in `schemas.hashing`
TO_1970, ERA = 2_208_988_800, 1 << 32  # NTP counts from 1900 and wraps in 2036 (RFC 6733 4.3.1, RFC 5905)


@kernel(None, forceinline=True)
def word_nb(buffer, at):
    """Four octets, unsigned."""
    return at_nb(buffer, at) << 24 | at_nb(buffer, at + 1) << 16 | at_nb(buffer, at + 2) << 8 | at_nb(buffer, at + 3)


@kernel(None, forceinline=True)
def half_nb(buffer, at):
    """Three octets, unsigned."""
    return at_nb(buffer, at) << 16 | at_nb(buffer, at + 1) << 8 | at_nb(buffer, at + 2)


@kernel(None)
def same_nb(buffer, left, right):
    """Whether two references mean the same octets."""
    length = left & 0xFFFF
    if length != right & 0xFFFF:
        return False
    left, right = left >> 16, right >> 16
    for i in range(length):
        if at_nb(buffer, left + i) != at_nb(buffer, right + i):
            return False
    return True


@kernel(None)
def time_nb(seconds):
    """Time of RFC 6733 to microseconds UTC: below 2^31 it is of the era that begins in 2036."""
    if seconds < 1 << 31:
        seconds += ERA
    return (seconds - TO_1970) * 1_000_000


@kernel(None)
def key_nb(buffer, start, length):
    """128-bit key of a text: `bytes_hash_nb` with two seeds, both in one walk, eight octets at a time."""
    high, low = mix_nb(HI_SEED ^ np.uint64(length)), mix_nb(LO_SEED ^ np.uint64(length))
    at, stop = start, start + length
    while at + 8 <= stop:
        word = np.uint64(_word_nb(buffer, at))
        high, low = mix_nb((high ^ word) * P1 + P2), mix_nb((low ^ word) * P1 + P2)
        at += 8
    word, shift = np.uint64(0), np.uint64(0)
    while at < stop:
        word |= np.uint64(buffer[at]) << shift
        shift += np.uint64(8)
        at += 1
    return np.int64(mix_nb((high ^ word) * P1 + P2 + shift)), np.int64(mix_nb((low ^ word) * P1 + P2 + shift))


@kernel(None)
def _word_nb(buffer, at):
    """Eight octets, the lowest first."""
    return (at_nb(buffer, at) | at_nb(buffer, at + 1) << 8 | at_nb(buffer, at + 2) << 16 | at_nb(buffer, at + 3) << 24
            | at_nb(buffer, at + 4) << 32 | at_nb(buffer, at + 5) << 40 | at_nb(buffer, at + 6) << 48
            | at_nb(buffer, at + 7) << 56)


@kernel(None)
def number_nb(buffer, start, length):
    """Packed digits of a number, with or without +, of a tel URI or of a SIP URI's user part; else ABSENT."""
    value, kind, reason = digits_nb(buffer, start, length)
    if reason != OK:
        return ABSENT
    if kind == TEXT:
        value, kind, reason = uri_nb(buffer, start, length)
        if reason != OK or kind == TEXT:
            return ABSENT
    return value


@kernel(None)
def digits_only_nb(buffer, start, length):
    """Packed digits of E.164 (with or without +) or IMSI; ABSENT for anything else."""
    value, kind, reason = digits_nb(buffer, start, length)
    if reason != OK or kind == TEXT:
        return ABSENT
    return value


@kernel(None)
def address_nb(buffer, start, length):
    """Address of RFC 6733 as `schemas.addresses` has it; ABSENT where it is neither IPv4 nor IPv6."""
    if length == 6 and at_nb(buffer, start) == 0 and at_nb(buffer, start + 1) == 1:
        return word_nb(buffer, start + 2)
    if length == 18 and at_nb(buffer, start) == 0 and at_nb(buffer, start + 1) == 2:
        high = word_nb(buffer, start + 2) << 32 | word_nb(buffer, start + 6)
        low = word_nb(buffer, start + 10) << 32 | word_nb(buffer, start + 14)
        return ipv6_value_nb(high, low)
    return ABSENT


@kernel(None)
def plmn_nb(buffer, start, length):
    """MCC and MNC as five or six digits of text."""
    if length < 5 or length > 6:
        return ABSENT
    mcc, mnc = 0, 0
    for i in range(length):
        digit = at_nb(buffer, start + i) - 0x30
        if digit < 0 or digit > 9:
            return ABSENT
        if i < 3:
            mcc = mcc * 10 + digit
        else:
            mnc = mnc * 10 + digit
    return mcc * 1000 + mnc


@kernel(None)
def zone_nb(octet):
    """Quarters of an hour east of UTC: digits swapped, bit 3 of the octet is the sign (TS 23.040 9.2.3.11)."""
    quarters = (octet & 7) * 10 + (octet >> 4)
    if octet >> 4 > 9:
        return ABSENT
    return -quarters if octet & 8 else quarters


@kernel(None)
def context_nb(buffer, start, length):
    """What a Service-Context-Id names, by the digits before its first @."""
    at = 0
    while at < length and at_nb(buffer, start + at) != 0x40:
        at += 1
    value, scale, i = 0, 1, at - 1
    while i >= 0 and at - i <= 5:
        digit = at_nb(buffer, start + i) - 0x30
        if digit < 0 or digit > 9:
            break
        value += digit * scale
        scale *= 10
        i -= 1
    if value == 32251 or value == 32255:
        return PACKET
    if value == 32260:
        return IMS
    if value == 32274:
        return SMS
    if value == 32270:
        return MMS
    if value == 32299:
        return EVENT
    if value == 32275:
        return MMTEL
    if value == 32276 or value == 32250:
        return VOICE
    return OTHER
