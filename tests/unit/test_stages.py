import threading
from collections.abc import Iterator

import pytest

from pipelines.stages import ahead, chain


def test_items_keep_their_order_and_all_arrive() -> None:
    assert list(ahead(iter(range(1000)), depth=3)) == list(range(1000))


def test_an_error_of_the_source_is_raised_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("no third")

    got = []
    with pytest.raises(RuntimeError, match="no third"):
        got.extend(ahead(source()))
    seen = []
    try:
        for item in ahead(source()):
            seen.append(item)  # noqa: PERF402
    except RuntimeError:
        pass
    assert seen == [1, 2]


def test_a_consumer_that_stops_early_stops_the_thread() -> None:
    before = threading.active_count()
    items = ahead(iter(range(10**9)), depth=1)
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_one_worker_means_no_thread() -> None:
    before = threading.active_count()
    items = chain(range(3), workers=1)
    assert next(items) == 0
    assert threading.active_count() == before
