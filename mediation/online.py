"""Parties of requests that are answered while they wait: the same numbers, tokens and networks as those of records."""

import numpy as np

from mediation.memory import Lexicon
from mediation.normalise import TokenKey, parties_of
from mediation.tokens import Sightings
from reference_data.snapshot import Snapshot
from schemas.codes import NumberType
from schemas.columns import ABSENT, I64, U8, Cells
from schemas.decoded import DECODED
from schemas.parties import PARTIES

_GIVEN = np.array([DECODED.index(name) for name in PARTIES])


def identify(requests: Cells, parties: I64, buffer: U8, snapshot: Snapshot, token_key: TokenKey, lexicon: Lexicon
             ) -> Sightings:
    """Fill tokens, class, prefix and network of the parties of REQUEST rows that have direction and event_time_us.

    parties (len(PARTIES), rows): packed digits, or references into `buffer` where the type is TEXT; ABSENT for none.
    A number that the plan cannot read leaves its columns ABSENT. Returns numbers that this process met first.
    """
    decoded = Cells.empty(DECODED, len(requests), fill=ABSENT)
    decoded.matrix[_GIVEN] = parties
    decoded["served_address_text"] = 0
    decoded["direction"] = requests["direction"]
    for column in ("served_number_type", "other_number_type"):
        decoded[column] = np.where(decoded[column] == ABSENT, NumberType.UNKNOWN, decoded[column])
    sightings, _ = parties_of(decoded, buffer, snapshot, token_key, lexicon, requests,
                              np.zeros(len(requests), np.int64))
    return sightings
