"""Which requests are for us, by Destination-Host and Destination-Realm."""

from numba import types

from mediation.kernels.octets import at_nb
from pipelines.diameter.columns import MESSAGE
from pipelines.diameter.results import Result
from schemas.jit import CELLS_OUT, I64_IN, U8_IN, kernel

ABSENT = -1
RESULT, HOST, REALM = (MESSAGE.index(n) for n in ("result_code", "destination_host_text", "destination_realm_text"))
NOT_HERE, NOT_SERVED = int(Result.UNABLE_TO_DELIVER), int(Result.REALM_NOT_SERVED)


@kernel(None)
def same_name_nb(buffer, reference, names, name):
    """Whether two DiameterIdentities are the same, whatever their case; `names` are lower case."""
    length = reference & 0xFFFF
    if length != name & 0xFFFF:
        return False
    left, right = reference >> 16, name >> 16
    for i in range(length):
        octet = at_nb(buffer, left + i)
        if 0x41 <= octet <= 0x5A:
            octet |= 0x20
        if octet != at_nb(names, right + i):
            return False
    return True


@kernel([types.void(U8_IN, CELLS_OUT, U8_IN, I64_IN)])
def route_nb(buffer, messages, names, references):
    """3003 for realms that are not served, 3002 for other hosts. references: our host, then our realms."""
    for m in range(messages.shape[1]):
        if messages[RESULT, m] != 0:
            continue
        if messages[REALM, m] != ABSENT:
            served = False
            for i in range(1, references.size):
                served = served or same_name_nb(buffer, messages[REALM, m], names, references[i])
            if not served:
                messages[RESULT, m] = NOT_SERVED
                continue
        if messages[HOST, m] != ABSENT and not same_name_nb(buffer, messages[HOST, m], names, references[0]):
            messages[RESULT, m] = NOT_HERE
