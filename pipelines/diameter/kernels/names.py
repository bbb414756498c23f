"""Names that networks derive from a SIM or a number (TS 23.003): NAI, private and public identities. What is none of
them stays a name."""

from mediation.kernels.octets import at_nb
from pipelines.diameter.kernels.values import digits_only_nb
from schemas.jit import kernel

ABSENT = -1
AT, BANG, COLON, DOT, PLUS, ZERO = 0x40, 0x21, 0x3A, 0x2E, 0x2B, 0x30
IMSI_LEAST, IMSI_MOST = 6, 15


@kernel(None)
def three_nb(buffer, at, stop):
    """Three digits as a number; ABSENT for anything else."""
    value = 0
    if at + 3 > stop:
        return ABSENT
    for i in range(at, at + 3):
        digit = at_nb(buffer, i) - ZERO
        if digit < 0 or digit > 9:
            return ABSENT
        value = value * 10 + digit
    return value


@kernel(None)
def country_nb(buffer, start, stop):
    """Mobile country code that a realm such as nai.epc.mnc001.mcc262.3gppnetwork.org says; ABSENT for none."""
    for i in range(start, stop - 7):
        if at_nb(buffer, i) == DOT and at_nb(buffer, i + 1) | 0x20 == 0x6D and at_nb(buffer, i + 2) | 0x20 == 0x63 \
                and at_nb(buffer, i + 3) | 0x20 == 0x63 and at_nb(buffer, i + 7) == DOT:
            return three_nb(buffer, i + 4, stop)
    return ABSENT


@kernel(None)
def derived_nb(buffer, start, length):
    """(IMSI, E.164) of a name, packed digits, ABSENT for each that it does not say.

    IMSI: the user part where it begins with the country code of the realm; with a digit before it that says which EAP
    asks (0 AKA, 1 SIM, 6 AKA'), as in the root NAI. Names: user@realm, realm!user@visited (decorated), sip:user@realm.
    E.164: a user part with a plus.
    """
    stop, at = start + length, start + length - 1
    while at >= start and at_nb(buffer, at) != AT:
        at -= 1
    if at <= start:
        return ABSENT, ABSENT
    user, realm, realm_stop = start, at + 1, stop
    if length > 4 and at_nb(buffer, start + 3) == COLON:
        user = start + 4
    elif length > 5 and at_nb(buffer, start + 4) == COLON:
        user = start + 5
    bang = at - 1
    while bang >= user and at_nb(buffer, bang) != BANG:
        bang -= 1
    if bang >= user:
        realm = realm_stop = bang
        while realm > user and at_nb(buffer, realm - 1) != BANG:
            realm -= 1
        user = bang + 1
    count = at - user
    if count < 1:
        return ABSENT, ABSENT
    if at_nb(buffer, user) == PLUS:
        return ABSENT, digits_only_nb(buffer, user, count)
    country, first = country_nb(buffer, realm, realm_stop), at_nb(buffer, user) - ZERO
    if country == ABSENT:
        return ABSENT, ABSENT
    if three_nb(buffer, user, at) != country or count > IMSI_MOST:
        if three_nb(buffer, user + 1, at) != country or (first != 0 and first != 1 and first != 6):
            return ABSENT, ABSENT
        user, count = user + 1, count - 1
    if count < IMSI_LEAST or count > IMSI_MOST:
        return ABSENT, ABSENT
    for i in range(user, at):
        if at_nb(buffer, i) < ZERO or at_nb(buffer, i) > ZERO + 9:
            return ABSENT, ABSENT
    return digits_only_nb(buffer, user, count), ABSENT
