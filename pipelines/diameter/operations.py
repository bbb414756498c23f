"""Numbers that rules and kernels share: groups that are entered, operations on an AVP, fields of a rule, limits."""

# Groups whose inside is read. What an AVP means depends on the group it stands in.
(G_COMMAND, G_SERVICE, G_REQUESTED, G_USED, G_MONEY, G_UNIT_VALUE, G_SUBSCRIPTION, G_INFORMATION, G_PACKET, G_IMS,
 G_EVENT_TYPE, G_SMS, G_RECIPIENT_INFO, G_RECIPIENT, G_ORIGINATOR, G_EQUIPMENT, G_APPLICATION, G_RESULT,
 G_MMS) = range(19)
GROUPS = 19

# What is done with an AVP.
(O_SKIP, O_ENTER, O_UNSIGNED, O_SIGNED, O_TIME, O_TEXT, O_OCTET, O_PLMN, O_ADDRESS, O_PARTY, O_CONTEXT, O_ZONE, O_KEYED,
 O_PROXY, O_COUNTER, O_FORBIDDEN) = range(16)

# Where its value goes: cells of the message, of the row of units, or registers until the group ends.
T_MESSAGE, T_UNIT, T_REGISTER = range(3)
R_TYPE, R_TEXT, R_DIGITS, R_EXPONENT, R_CURRENCY, R_SEEN = range(6)  # registers
REGISTERS = 6
SEEN_TYPE, SEEN_TEXT, SEEN_DIGITS, SEEN_VALUE, SEEN_CURRENCY = (1 << i for i in range(5))

# Fields of a rule.
(F_OP, F_TARGET, F_COLUMN, F_OCTETS, F_LEAST, F_MOST, F_SEEN, F_MASK_COLUMN, F_MASK, F_REPEATS, F_GROUP, F_CODE,
 F_VENDOR) = range(13)
RULE_FIELDS = 13

# Fields of a command: code, application, rules of its own, and what must be in a request of it.
(K_CODE, K_APPLICATION, K_ANY_APPLICATION, K_NEEDED) = range(4)
COMMAND_FIELDS = 4

# Fields of `limits`.
(L_MESSAGE_OCTETS, L_AVPS, L_DEPTH, L_UNITS, L_STRICT) = range(5)

# Fields of a segment: where it begins and ends, and, once parsed, what was taken and why its sender must go.
S_START, S_STOP, S_TAKEN, S_CLOSED = range(4)
SEGMENT_FIELDS = 4

CODES_IETF, CODES_TGPP = 1100, 5000  # AVP codes below these are looked up in tables
