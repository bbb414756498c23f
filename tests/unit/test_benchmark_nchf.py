"""The Nchf benchmark at smoke size: it answers what it sends, over HTTP/2 and alone, the same every time."""

from pathlib import Path

from benchmarks import nchf


def test_benchmark_translates_the_same_every_time_and_answers_over_sockets(tmp_path: Path) -> None:
    bodies = [nchf.body(number) for number in range(nchf.SMOKE)]
    assert nchf.translation(tmp_path, bodies)[1] == nchf.translation(tmp_path, bodies)[1]
    for run in nchf.over_sockets(tmp_path, bodies, 2, 8, nchf.KINDS[:3]).values():
        assert set(run.result.statuses) == {200} and len(run.result.latencies) == nchf.SMOKE * 9 // 10
        assert run.cpu_s > 0 and run.load_s > 0
