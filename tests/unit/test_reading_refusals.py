"""A file is refused for what it is, not for what its first bytes happen to say."""

import numpy as np
import pytest

from mediation.formats.refusals import sniff


@pytest.mark.parametrize("length", [0x000A0000, 0x000A1234, 0x00090010, 0x00050002])
def test_a_ts_32297_file_whose_length_begins_like_a_flow_records_version_is_one(length: int) -> None:
    header = length.to_bytes(4, "big") + (54).to_bytes(4, "big") + bytes(46)
    buffer = np.frombuffer(header + bytes(length - len(header)), np.uint8)
    assert sniff(buffer) == "ts32297"
