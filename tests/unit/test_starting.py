"""What a start says of itself while it goes on."""

import io
import json
import time

from pipelines.serve.log import Log
from pipelines.serve.starting import Starting


def said(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_long_start_says_what_it_does_and_how_much_of_it_is_done() -> None:
    stream = io.StringIO()
    with Starting(Log(stream), after_s=0.01, every_s=0.01) as doing:
        doing("replaying the journal", 40, 90)
        time.sleep(0.2)
    lines = said(stream)
    assert len(lines) > 1
    assert lines[-1]["event"] == "starting" and lines[-1]["doing"] == "replaying the journal"
    assert (lines[-1]["done"], lines[-1]["of"]) == (40, 90)
    time.sleep(0.05)
    assert len(said(stream)) == len(lines)


def test_what_is_not_counted_is_named_alone() -> None:
    stream = io.StringIO()
    with Starting(Log(stream), after_s=0.01, every_s=10) as doing:
        doing("ledger and journal")
        time.sleep(0.1)
    (line,) = said(stream)
    assert line["doing"] == "ledger and journal" and "of" not in line


def test_a_short_start_says_nothing() -> None:
    stream = io.StringIO()
    with Starting(Log(stream)) as doing:
        doing("reference data")
    assert not said(stream)
