"""The benchmark of the text families at its smoke size: it runs, reads everything, and says the same twice."""

import pytest

from benchmarks.text_formats import FORMATS, measure


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_smoke_size_reads_every_record_and_repeats_its_checksum(name: str) -> None:
    first, second = measure(name, 300), measure(name, 300, repeat=2)
    assert first.records == second.records == 300 and first.rows >= 300
    assert first.checksum == second.checksum
    assert first.checksum != measure(name, 299).checksum
