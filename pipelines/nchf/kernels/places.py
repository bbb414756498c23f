"""Where the reader of plain bodies puts what it has read, and how its tables are laid out: `pipelines.nchf.fields`."""

# Columns of a field: the object it is of, its name, what it is, the object it leads to, bounds, and where it goes.
F_NODE, F_NAME, F_SIZE, F_KIND, F_CHILD, F_LEAST, F_MOST, F_BIT, F_PLACE = range(9)
FIELD = 9
# What a field is. OTHER: its presence is for the slower reader. SKIPPED: not a field that is known.
STRING, HEXADECIMAL, INTEGER, BOOLEAN, TIME, OBJECT, OBJECTS, TIMES, OTHER, SKIPPED = range(10)

# Columns of an object: bits of the fields it must have, what begins and ends with it, places that it clears.
N_REQUIRED, N_EVENT, N_FROM, N_TO = range(4)
NODE = 4
(NO_EVENT, OF_UNIT, OF_CONTAINER, OF_CONTAINER_TRIGGER, OF_REQUEST_TRIGGER) = range(5)

# Places. Of a message:
(P_SUBSCRIBER, P_CHARGING_ID, P_ONE_TIME, P_TIME, P_NUMBER, P_URI, P_GATEWAY, P_SESSION, P_SESSION_CHARGING_ID, P_GPSI,
 P_PEI, P_DNN, P_SERVING_MCC, P_SERVING_MNC, P_FUNCTION_MCC, P_FUNCTION_MNC, P_NR_MCC, P_NR_MNC, P_EUTRA_MCC,
 P_EUTRA_MNC, P_RAT, P_SST, P_SD, P_TRIGGERS, P_REASON, P_UNITS, P_CONTAINERS) = range(27)
# Of a MultipleUnitUsage:
(P_GROUP, P_WANTED, P_ASKED_TIME, P_ASKED_TOTAL, P_ASKED_UP, P_ASKED_DOWN, P_ASKED_UNITS, P_UPF, P_OWN, P_BEFORE,
 P_SINCE, P_SINCE_COUNT, P_CHANGED, P_UNIT_REASON) = range(27, 41)
# Of a UsedUnitContainer:
(P_SERVICE, P_QUOTA, P_USED_TIME, P_USED_TOTAL, P_USED_UP, P_USED_DOWN, P_USED_UNITS, P_STAMPS, P_OWN_TRIGGERS,
 P_OWN_REASON, P_OWN_CHANGE) = range(41, 52)
# Of a Trigger:
P_TRIGGER = 52
PLACES = 53
MESSAGE_PLACES, UNIT_PLACES, CONTAINER_PLACES, TRIGGER_PLACES = (0, 27), (27, 41), (41, 52), (52, 53)

# What comes out, columns of a message:
(M_UNIT, M_TIME, M_CHARGING_ID, M_GATEWAY, M_HI, M_LO, M_PLMN, M_ROAMING, M_RAT, M_SLICE, M_NUMBER, M_MSISDN, M_IMSI,
 M_IMEI, M_DNN, M_URI, M_FIRST, M_UNITS) = range(18)
MESSAGE = 18
# and of each of its rating groups.
U_GROUP, U_ASKED, U_USED, U_AFTER, U_REASON, U_UPF = range(6)
UNIT = 6

# Words that mean something, and what: columns of the table of words.
W_START, W_SIZE, W_CODE = range(3)
REASONS, RATS, OFFLINE, PREFIXES = range(4)  # tables of words; PREFIXES: imsi-, msisdn-, imei-, in this order
CHANGE = -2  # code of the trigger that closes a container before a tariff change
