"""Names of the rows of the matrices that traffic is drawn into, and encoders read: `matrix[COLUMN, event]`, int64.

Times are seconds UTC (an operator's clock stamps records to the second); numbers are packed digits (`schemas.digits`).
"""

NEVER = 1 << 40  # seconds: later than any period; "does not happen"

# Subscribers: matrix[COLUMN, subscriber].
S_MSISDN, S_IMSI, S_SWAP_S, S_IMSI_AFTER, S_FROM_S, S_TO_S, S_IMEI, S_REGION, S_TECH, S_HOTSPOT_IP = range(10)
SUBSCRIBER_COLUMNS = 10
# S_TECH: where a subscriber's voice and data records come from: circuit or IMS, PGW, CHF or Nchf.
TECH_CIRCUIT_EPC, TECH_VOLTE_EPC, TECH_VOLTE_CHF, TECH_VOLTE_NCHF = range(4)

# What every event has. E_KEEP: 0 when the event falls outside the subscriber's life.
E_KEEP, E_SUBSCRIBER, E_START_S, E_CLOSE_S, E_IMSI, E_MSISDN, E_IMEI, E_REGION, E_SESSION, E_SEQUENCE = range(10)
E_DEFECT = 10

# Calls and messages.
C_KIND, C_ANSWER_S, C_DURATION_S, C_OTHER, C_OTHER_INTERNATIONAL, C_CAUSE, C_PLMN, C_EXTRA, C_PARTIAL = range(11, 20)
CALL_COLUMNS = 20
# C_KIND. C_OTHER is who is called by MO and FORWARDED, who calls in MT and ROAMED. C_EXTRA is the caller of a forwarded
# call, and in IMS records the role of the node.
MO, MT, FORWARDED, ROAMED = range(4)

# Data sessions, one row a partial.
D_SESSION_START_S, D_PARTIAL, D_CAUSE, D_RAT, D_UP, D_DOWN, D_GROUPS, D_SHARE, D_SWITCH_S = range(11, 20)
D_CHARGING_ID, D_PLMN, D_ADDRESS, D_APN, D_OPEN_S, D_LAST, D_TOTAL_UP, D_TOTAL_DOWN = range(20, 28)
DATA_COLUMNS = 28

# Destinations: matrix[COLUMN, destination].
T_CUMULATIVE, T_PREFIX, T_SUFFIX_DIGITS, T_STYLE = range(4)
# T_STYLE: a subscriber of ours, a number abroad, a national number, or digits dialled as they are.
ON_NET, ABROAD, NATIONAL, AS_DIALLED = range(4)
# Numbers of other networks that are called are K * SPREAD_STEP, K below SPREAD; every PORTED_EVERY-th of these was
# ported.
SPREAD, SPREAD_STEP, PORTED_EVERY = 50_000, 199, 25
