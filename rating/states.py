"""What account states mean for usage: it is charged all the same, says its refusal, and may be the first.

States change between blocks by commands, and within one only by first use; so this looks at a block's events once
they are charged, and only where an account is in a state that refuses something or waits for its first use.
"""

import numpy as np

from rating.book import NEVER_US, BalanceBook
from rating.kernels.in_state import all_in_state_nb
from rating.kernels.layout import L_SINCE, L_VALID, STATE
from reference_data.accounts import STATES
from reference_data.tariffs.compile import Tariffs
from schemas.codes import Direction, NumberClass, Service, StateCause
from schemas.columns import ABSENT, I64, Cells
from schemas.rated import ACCOUNT_STATE

PRE_ACTIVE, ACTIVE = STATES.index("pre_active"), STATES.index("active")
_KINDS = len(Service) * len(Direction)
_MOST_KNOWN = 8
_FEW = 4096  # events: looking at their accounts' states costs less than at all accounts'


_NONE = Cells.empty(ACCOUNT_STATE)
_known: dict[str, tuple[I64, bool]] = {}  # by content of the tariffs; of the last ones


def refusal_codes(tariffs: Tariffs) -> I64:
    """(version label, state, service * 3 + direction): the code that refuses it, ABSENT where it is permitted."""
    return _codes_of(tariffs)[0]


def permits_active(tariffs: Tariffs) -> bool:
    """Whether no version refuses anything to an account that is active."""
    return _codes_of(tariffs)[1]


def _codes_of(tariffs: Tariffs) -> tuple[I64, bool]:
    found = _known.get(tariffs.content_hash)
    if found is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        codes = _refusal_codes(tariffs)
        found = _known[tariffs.content_hash] = codes, bool((codes[:, ACTIVE] == ABSENT).all())
    return found


def _refusal_codes(tariffs: Tariffs) -> I64:
    codes = np.full((len(tariffs.labels["tariff_version"]), len(STATES), _KINDS), ABSENT, np.int64)
    for version in tariffs.versions:
        label = tariffs.labels["tariff_version"].index(version.name)
        for name, rule in version.states.items():
            for service in Service:
                for direction in Direction:
                    if (service, direction) not in rule.permits:
                        codes[label, STATES.index(name), service * len(Direction) + direction] = rule.refusal
    codes.setflags(write=False)
    return codes


def apply_states(book: BalanceBook, tariffs: Tariffs, rated: Cells, journal_position: int) -> Cells:
    """Fill `refusal` of rated events, which is absent so far, and make pre-active accounts active.

    Returns ACCOUNT_STATE cells. Emergency calls are never refused. The first usage is judged in the state that it
    ends. Charge legs are nobody's usage: they are not refused, and wake nobody.
    """
    active = book.only_active() if len(rated) > _FEW else book.all_active
    if not len(rated) or (permits_active(tariffs) and (
            active or all_in_state_nb(rated["account_id"], book.index, book.records, ACTIVE))):
        return _NONE
    codes = refusal_codes(tariffs)
    own = np.flatnonzero(rated["leg"] == 0)
    whole, rated = rated, rated.where(rated["leg"] == 0)
    rows = book.rows_of(rated["account_id"])
    states = book.records[rows, STATE]
    first = _first_uses(rows, states)
    states[(states == PRE_ACTIVE) & ~first] = ACTIVE
    kind = rated["service"] * len(Direction) + np.maximum(rated["direction"], 0)
    refusal = codes[rated["tariff_version"], states, kind]
    whole["refusal"][own] = np.where(rated["other_class"] == NumberClass.EMERGENCY, ABSENT, refusal)
    at = np.flatnonzero(first)
    cells = Cells.empty(ACCOUNT_STATE, at.size, fill=ABSENT)
    if at.size:
        woken = rows[at]
        book.records[woken, STATE] = ACTIVE
        book.life[woken, L_SINCE] = rated["event_time_us"][at]
        book.timers_due()
        for name, values in (
                ("movement_hi", rated["event_id_hi"][at]), ("movement_lo", rated["event_id_lo"][at]),
                ("journal_position", journal_position), ("event_time_us", rated["event_time_us"][at]),
                ("account_id", rated["account_id"][at]), ("state_before", PRE_ACTIVE), ("state", ACTIVE),
                ("cause", StateCause.FIRST_USE)):
            cells[name] = values
        valid = book.life[woken, L_VALID]
        cells["valid_until_us"] = np.where(valid >= NEVER_US, ABSENT, valid)
    return cells


def _first_uses(rows: I64, states: I64) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which events are the first in the block of an account that is pre-active before it."""
    waiting = np.flatnonzero(states == PRE_ACTIVE)
    first = np.zeros(rows.size, np.bool_)
    first[waiting[np.unique(rows[waiting], return_index=True)[1]]] = True
    return first
