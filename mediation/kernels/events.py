"""One usage event per container: times, quantities, roaming, and what keeps it from being charged."""

from numba import types

from mediation.kernels.numbers import BAD
from schemas.codes import Direction, FilterReason, Reason, RecordType, Service, StreamRole, Unit
from schemas.decoded import DECODED
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, I64_OUT, kernel
from schemas.usage import USAGE

ABSENT = -1
# Places in `limits`, times in microseconds.
MAX_DURATION, MAX_OCTETS, MAX_MESSAGES, TOLERANCE_US, FILE_TIME_US, FILTER_MASK, HOME_PLMN = range(7)

_STATUS, _STATUS_OFFSET, _RECORD_TYPE = (DECODED.index(n) for n in ("status", "status_offset", "record_type"))
_SERVICE, _DIRECTION, _START = (DECODED.index(n) for n in ("service", "direction", "start_time_us"))
_OPENING, _SESSION_START, _DURATION = (DECODED.index(n) for n in ("opening_time_us", "session_start_us", "duration_s"))
_UPLINK, _DOWNLINK, _MESSAGES = (DECODED.index(n) for n in ("uplink_octets", "downlink_octets", "message_count"))
_IMSI, _PLMN, _ROLE, _ANSWERED = (DECODED.index(n) for n in ("served_imsi", "serving_plmn", "node_role", "answered"))
_RECORD_OFFSET = DECODED.index("record_offset")
_U_START, _U_END, _U_DURATION = (USAGE.index(n) for n in ("event_time_us", "end_time_us", "duration_s"))
_U_UPLINK, _U_DOWNLINK, _U_QUANTITY = (USAGE.index(n) for n in ("uplink_octets", "downlink_octets", "quantity"))
_U_UNIT, _U_ROAMING = USAGE.index("unit"), USAGE.index("roaming")

_VOICE, _SMS, _MMS, _DATA = int(Service.VOICE), int(Service.SMS), int(Service.MMS), int(Service.DATA)
_SECOND, _OCTET, _MESSAGE, _UNIT = int(Unit.SECOND), int(Unit.OCTET), int(Unit.MESSAGE), int(Unit.UNIT)
_OK, _MISSING, _BAD_TIME = int(Reason.OK), int(Reason.MISSING_FIELD), int(Reason.BAD_TIME)
_AHEAD, _NEGATIVE, _BAD_NUMBER = int(Reason.TIME_AHEAD), int(Reason.NEGATIVE_QUANTITY), int(Reason.BAD_NUMBER)
_WITNESS, _ZERO = int(FilterReason.WITNESS), int(FilterReason.ZERO_USAGE)
_NOT_CHARGEABLE, _FOREIGN = int(FilterReason.NOT_CHARGEABLE_ROLE), int(FilterReason.FOREIGN_SUBSCRIBER)
_TERMINATING, _FORWARDED = int(Direction.TERMINATING), int(Direction.FORWARDED)
_RECONCILE, _FILTER_ROLE = int(StreamRole.RECONCILE), int(StreamRole.FILTER)
_OTHER_TYPE = int(RecordType.OTHER)
_EARLIEST_US = 631_152_000_000_000   # 1990: no digital network wrote records before
_LATEST_US = 4_102_444_800_000_000   # 2100


@kernel(types.void(CELLS_IN, I64_IN, I64_IN, CELLS_OUT, I64_OUT, I64_OUT))
def measure_nb(decoded, limits, home_plmns, usage, reason, fault):
    """Times, quantity and unit, roaming; `reason` OK or why the container can't stand.

    Each container is judged alone: one broken counter doesn't take its neighbours along.
    """
    for i in range(decoded.shape[1]):
        start, duration = decoded[_START, i], decoded[_DURATION, i]
        if start == ABSENT:
            start = decoded[_OPENING, i]
        service = decoded[_SERVICE, i]
        uplink, downlink, messages = decoded[_UPLINK, i], decoded[_DOWNLINK, i], decoded[_MESSAGES, i]
        verdict = decoded[_STATUS, i]
        if verdict == _OK:
            if service == ABSENT or start == ABSENT or (service == _VOICE and duration == ABSENT
                                                        and decoded[_ANSWERED, i] != 0):
                verdict = _MISSING
            elif start < _EARLIEST_US or start > _LATEST_US:
                verdict = _BAD_TIME
            elif duration < ABSENT or uplink < ABSENT or downlink < ABSENT or messages < ABSENT or \
                    duration > limits[MAX_DURATION] or messages > limits[MAX_MESSAGES] or \
                    uplink > limits[MAX_OCTETS] or downlink > limits[MAX_OCTETS]:
                verdict = _NEGATIVE
        if service == _VOICE:
            quantity, unit = max(duration, 0), _SECOND
        elif service == _DATA:
            quantity, unit = max(uplink, 0) + max(downlink, 0), _OCTET
        elif service == _SMS or service == _MMS:
            quantity, unit = (messages if messages >= 0 else 1), _MESSAGE
        else:
            quantity, unit = (messages if messages >= 0 else 1), _UNIT
        end = ABSENT
        if start != ABSENT and verdict == _OK:
            end = start + duration * 1_000_000 if duration >= 0 else start
            session_start = decoded[_SESSION_START, i]
            if session_start != ABSENT and session_start > start + limits[TOLERANCE_US]:
                verdict = _BAD_TIME
            elif limits[FILE_TIME_US] != ABSENT and end > limits[FILE_TIME_US] + limits[TOLERANCE_US]:
                verdict = _AHEAD
        plmn = decoded[_PLMN, i]
        roaming = 0
        if plmn != ABSENT:
            roaming = 1
            for k in range(home_plmns.size):
                if home_plmns[k] == plmn:
                    roaming = 0
        usage[_U_START, i], usage[_U_END, i] = start, end
        usage[_U_QUANTITY, i], usage[_U_UNIT, i], usage[_U_ROAMING, i] = quantity, unit, roaming
        reason[i] = verdict
        fault[i] = ABSENT
        if verdict != _OK:
            fault[i] = decoded[_STATUS_OFFSET, i]
            if fault[i] == ABSENT:
                fault[i] = decoded[_RECORD_OFFSET, i]


@kernel(types.void(CELLS_IN, I64_IN, I64_IN, I64_IN, I64_OUT))
def refuse_numbers_nb(decoded, served_class, other_class, forwarded_class, reason):
    """BAD_NUMBER where a number that decides the charge can't be read.

    The calling party of a terminating leg doesn't: it may have been withheld, faked or left as it came.
    """
    for i in range(reason.size):
        if reason[i] == _OK and (served_class[i] == BAD or forwarded_class[i] == BAD or
                                 (other_class[i] == BAD and decoded[_DIRECTION, i] != _TERMINATING)):
            reason[i] = _BAD_NUMBER


@kernel(None)
def _foreign_nb(imsi, home, home_digits):
    """Whether an IMSI is of none of the home networks (an unreadable one is not foreign)."""
    digits, rest = 0, imsi
    while rest > 0:
        rest >>= 4
        digits += 1
    if digits < 6:
        return False
    for k in range(home.size):
        if imsi >> 4 * (digits - home_digits[k]) == home[k]:
            return False
    return True


@kernel(types.void(CELLS_IN, CELLS_IN, I64_IN, I64_IN, I64_IN, I64_IN, I64_IN, types.int64, I64_IN, I64_OUT))
def filter_nb(decoded, usage, home, home_digits, role_codes, charge_types, charge_roles, mask, foreign_number,
              filtered):
    """`FilterReason` of usage that is not charged, or ABSENT. One witness charges: first the roles, then the legs."""
    for i in range(filtered.size):
        record_type = decoded[_RECORD_TYPE, i]
        if record_type < 0:
            record_type = _OTHER_TYPE
        role, node_role, direction = role_codes[record_type], decoded[_ROLE, i], decoded[_DIRECTION, i]
        imsi = decoded[_IMSI, i]
        verdict = ABSENT
        if role == _RECONCILE:
            verdict = _WITNESS
        elif role == _FILTER_ROLE:
            verdict = _NOT_CHARGEABLE
        elif charge_types[record_type] == 0:
            verdict = _WITNESS
        elif node_role >= 0 and node_role < 2 and charge_roles[node_role] == 0:
            verdict = _NOT_CHARGEABLE
        elif (imsi > 0 and _foreign_nb(imsi, home, home_digits)) or (imsi <= 0 and foreign_number[i] == 1):
            verdict = _FOREIGN
        elif (direction == _TERMINATING and (mask & 2 or (mask & 4 and usage[_U_ROAMING, i] == 0))) or \
                (direction == _FORWARDED and mask & 8):
            verdict = _NOT_CHARGEABLE
        elif (mask & 16 and decoded[_ANSWERED, i] == 0) or (mask & 1 and usage[_U_QUANTITY, i] == 0):
            verdict = _ZERO
        filtered[i] = verdict
