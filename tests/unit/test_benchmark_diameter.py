"""The Diameter benchmark at smoke size: it parses and answers what it writes, the same every time."""

import pytest

from benchmarks import diameter


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_benchmark_reads_and_answers_the_same_every_time() -> None:
    first, second = diameter.main(diameter.SMOKE, 0.2), diameter.main(diameter.SMOKE, 0.2)
    assert first["checksum"] == second["checksum"]
    assert float(first["times_python_diameter"]) > 10
