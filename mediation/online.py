"""Parties of requests that are answered while they wait: the same numbers, tokens and networks as those of records."""

import numpy as np

from mediation.kernels import live_parties
from mediation.memory import Lexicon
from mediation.normalise import TokenKey
from mediation.tokens import Sightings
from reference_data.inventory import NOW
from reference_data.snapshot import Snapshot
from schemas.columns import I64, U8, Cells
from schemas.online import REQUEST

_NONE = Sightings(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), {})


def identify(requests: Cells, parties: I64, buffer: U8, snapshot: Snapshot, token_key: TokenKey, lexicon: Lexicon
             ) -> Sightings:
    """Fill tokens, class, prefix and network of the parties of REQUEST rows that have direction and event_time_us.

    parties (len(PARTIES), rows): packed digits, or references into `buffer` where the type is TEXT; ABSENT for none.
    A number that the plan cannot read leaves its columns ABSENT. Returns numbers that this process met first.
    """
    rows = len(requests)
    assert requests.columns is REQUEST
    plan, decks, ported = snapshot.number_plan, snapshot.deck_prefixes, snapshot.inventory.ported
    room, collides = np.empty((live_parties.ROOM, rows), np.int64), np.zeros(rows, np.uint8)
    sighted = np.empty((live_parties.SIGHTED, live_parties.COLUMNS * rows), np.int64)
    seen = lexicon.tokens.table(live_parties.COLUMNS * rows)
    count = live_parties.identify_nb(
        buffer, np.ascontiguousarray(parties), np.uint64(token_key[0]), np.uint64(token_key[1]), plan.rules,
        plan.emergency, plan.classes.slots, plan.classes.leaves, decks.slots, decks.leaves,
        plan.network_prefixes.slots, plan.network_prefixes.leaves, lexicon.numbered("other_network", plan.networks),
        ported.directory, ported.shift, ported.rows, lexicon.numbered("other_network", snapshot.inventory.networks),
        NOW, seen, room, collides, requests.matrix, sighted)
    return lexicon.tokens.sighted(buffer, *sighted[:, :count]) if count else _NONE
