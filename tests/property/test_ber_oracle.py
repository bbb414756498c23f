"""The BER decoder against asn1tools: the same octets, read by two programs that share nothing."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import ber_records as records


@pytest.mark.parametrize("layout", sorted(records.FAMILIES))
def test_decoded_rows_equal_what_asn1tools_reads(layout: str) -> None:
    kind, strategy, expect = records.FAMILIES[layout]
    fmt = records.loaded(layout)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(strategy, min_size=1, max_size=6), st.booleans(), st.integers(1, 7))
    def check(items: list, in_file: bool, chunk: int) -> None:
        encoded = [records.encode(kind, choice, value) for choice, value in items]
        octets = records.file_of(encoded) if in_file else b"".join(encoded)
        buffer = records.array(octets)
        frame = fmt.inspect(buffer)
        assert not frame.problems
        expected = []
        for item in encoded:
            expected += expect(*records.grammar().decode(kind, item))
        found, at = [], frame.body_start
        while at < frame.body_end:
            part = fmt.decode(buffer, at, frame.body_end, chunk)
            records.check_tiling(part.cells, at, part.next_offset)
            assert part.cells["status"].tolist() == [0] * len(part.cells)
            found += records.readable(part.cells, octets)
            at = part.next_offset
        assert found == expected

    check()
