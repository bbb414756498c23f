"""Parties of requests in real time, in one call: what `normalise.parties_of` does of records with a kernel each.

Between two ticks there are few rows, and the way from Python into a kernel would cost more than the work itself.
"""

from numba import types

from mediation.kernels.numbers import BAD, I32_IN, numbers_nb
from mediation.kernels.parties import ROWS_IN, calling_prefix_nb, kept_prefix_nb, networks_nb
from mediation.kernels.tokens import number_tokens_nb, remember_nb, tokens_nb
from schemas.codes import Identity, NumberType
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, U8_IN, U8_OUT, kernel
from schemas.online import REQUEST
from schemas.parties import PARTIES

ABSENT = -1
_UNKNOWN = int(NumberType.UNKNOWN)
_MSISDN, _IMSI, _IMEI = int(Identity.MSISDN), int(Identity.IMSI), int(Identity.IMEI)
_SERVED, _SERVED_TYPE, _SERVED_IMSI, _SERVED_IMEI, _OTHER, _OTHER_TYPE = (PARTIES.index(name) for name in (
    "served_number", "served_number_type", "served_imsi", "served_imei", "other_number", "other_number_type"))
(_MSISDN_TOKEN, _OTHER_TOKEN, _FORWARDED_TOKEN, _IMSI_TOKEN, _IMEI_TOKEN, _ADDRESS_TOKEN, _OTHER_PREFIX,
 _CALLING_PREFIX, _OTHER_NETWORK, _OTHER_CLASS, _DIRECTION, _TIME) = (REQUEST.index(name) for name in (
     "msisdn_token", "other_token", "forwarded_token", "imsi_token", "imei_token", "address_token", "other_prefix",
     "calling_prefix", "other_network", "other_class", "direction", "event_time_us"))

# Rows of the room to work in: of the served and the other number its type, value, class, text and kind of identity.
_KIND, _VALUE, _CLASS, _TEXT, _IDENTITY = range(5)
_NUMBERS = 5
_IMSIS, _IMEIS, _NO_TEXT, _NEW = range(10, 14)
ROOM = 14
COLUMNS = 4                 # served and other number, IMSI, IMEI
# Rows of first sightings.
TOKEN, IDENTITY, VALUE, TEXT = range(4)
SIGHTED = 4


@kernel(None)
def remembered_nb(token, identity, value, text, seen, new, collides, sighted, count):
    """Enter a column of tokens; those that were not seen before are put behind the others in `sighted`."""
    for place in range(remember_nb(token, identity, value, seen, new, collides)):
        row = new[place]
        sighted[TOKEN, count], sighted[IDENTITY, count] = token[row], identity[row]
        sighted[VALUE, count], sighted[TEXT, count] = value[row], text[row]
        count += 1
    return count


@kernel(types.int64(U8_IN, CELLS_IN, types.uint64, types.uint64, I64_IN, I64_IN, I32_IN, I64_IN, I32_IN, I64_IN, I32_IN,
                    I64_IN, I64_IN, I32_IN, types.int64, ROWS_IN, I64_IN, types.int64, CELLS_OUT, CELLS_OUT, U8_OUT,
                    CELLS_OUT, CELLS_OUT))
def identify_nb(buffer, parties, k0, k1, rules, emergency, class_slots, class_leaves, deck_slots, deck_leaves,
                network_slots, network_leaves, network_labels, directory, shift, ported, ported_labels, now, seen, room,
                collides, cells, sighted):
    """Tokens, class, prefixes and network of REQUEST rows. Returns how many tokens had not been seen before.

    room: (ROOM, rows); sighted: (SIGHTED, COLUMNS * rows), those tokens with what stands behind them.
    """
    rows = parties.shape[1]
    for i in range(rows):
        room[_KIND, i] = parties[_SERVED_TYPE, i] if parties[_SERVED_TYPE, i] != ABSENT else _UNKNOWN
        room[_NUMBERS + _KIND, i] = parties[_OTHER_TYPE, i] if parties[_OTHER_TYPE, i] != ABSENT else _UNKNOWN
        room[_IMSIS, i], room[_IMEIS, i], room[_NO_TEXT, i] = _IMSI, _IMEI, ABSENT
        cells[_FORWARDED_TOKEN, i] = cells[_ADDRESS_TOKEN, i] = ABSENT
    count = 0
    for each in range(2):
        at = each * _NUMBERS
        token = _MSISDN_TOKEN if each == 0 else _OTHER_TOKEN
        numbers_nb(buffer, parties[_SERVED if each == 0 else _OTHER], room[at + _KIND], rules, emergency, class_slots,
                   class_leaves, room[at + _VALUE], room[at + _CLASS], room[at + _TEXT])
        number_tokens_nb(room[at + _VALUE], room[at + _CLASS], _MSISDN, k0, k1, cells[token], room[at + _IDENTITY])
        count = remembered_nb(cells[token], room[at + _IDENTITY], room[at + _VALUE], room[at + _TEXT], seen, room[_NEW],
                              collides, sighted, count)
    tokens_nb(parties[_SERVED_IMSI], _IMSI, k0, k1, cells[_IMSI_TOKEN])
    count = remembered_nb(cells[_IMSI_TOKEN], room[_IMSIS], parties[_SERVED_IMSI], room[_NO_TEXT], seen, room[_NEW],
                          collides, sighted, count)
    tokens_nb(parties[_SERVED_IMEI], _IMEI, k0, k1, cells[_IMEI_TOKEN])
    count = remembered_nb(cells[_IMEI_TOKEN], room[_IMEIS], parties[_SERVED_IMEI], room[_NO_TEXT], seen, room[_NEW],
                          collides, sighted, count)
    other, other_class = room[_NUMBERS + _VALUE], room[_NUMBERS + _CLASS]
    kept_prefix_nb(other, other_class, deck_slots, deck_leaves, cells[_OTHER_PREFIX])
    calling_prefix_nb(room[_VALUE], room[_CLASS], cells[_DIRECTION], cells[_OTHER_PREFIX], deck_slots, deck_leaves,
                      cells[_CALLING_PREFIX])
    networks_nb(other, other_class, cells[_OTHER_TOKEN], cells[_TIME], network_slots, network_leaves, network_labels,
                directory, shift, ported, ported_labels, now, cells[_OTHER_NETWORK])
    for i in range(rows):
        cells[_OTHER_CLASS, i] = ABSENT if other_class[i] == BAD else other_class[i]
    return count
