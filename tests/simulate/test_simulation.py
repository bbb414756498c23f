"""A few seeds of the node's simulation in every run of the tests; `make simulate` goes through thousands."""

from pathlib import Path

import pytest

from schemas.errors import InvariantError
from tests.simulate import virtual
from tests.simulate.node import simulate
from tests.simulate.world import make_template


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("simulate") / "template")


def test_laws_hold_whatever_happens(template: Path, tmp_path: Path) -> None:
    reports = [simulate(seed, template, tmp_path / str(seed)) for seed in range(10)]
    assert sum(len(report.cuts) for report in reports) >= 6
    assert sum(report.repeated for report in reports) > 30
    assert sum(report.older for report in reports) > 10
    assert sum(report.charged_nanos > 0 for report in reports) >= 8  # in the others nobody had used anything yet
    assert sum(report.activated for report in reports) > 5


def test_a_node_that_answers_too_early_is_found_out(template: Path, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    durable = virtual.VirtualAppender._durable

    def too_early(self: virtual.VirtualAppender, group: list[object]) -> None:
        self._loop.call_soon(lambda: [work.done() for work in group if work.done is not None])  # type: ignore[attr-defined]
        kept = [type(work)(work.entries, work.sightings) for work in group]  # type: ignore[attr-defined]

        def later() -> None:
            try:
                durable(self, kept)
            except BaseException as error:
                self._failed(error)

        self._loop.call_later(0.01, later)

    monkeypatch.setattr(virtual.VirtualAppender, "_durable", too_early)
    with pytest.raises((AssertionError, InvariantError)):
        for seed in range(60):
            simulate(seed, template, tmp_path / str(seed))
