"""The BER benchmark at smoke size: it decodes what it writes, the same every time."""

from benchmarks import ber


def test_benchmark_decodes_the_same_cells_every_time() -> None:
    first, second = ber.main(ber.SMOKE), ber.main(ber.SMOKE)
    assert first["checksum"] == second["checksum"]
    assert float(first["records_per_s"]) > 10_000
