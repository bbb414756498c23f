"""Cases as a telecom expert would write them from the documentation alone, worked by hand: tariff, accounts, events.

The pages in quote_cases/ have the form of docs/tariff-examples.md: the arithmetic stands above each tariff, and every
event says what it costs. They go the way of `tarifa quote`.
"""

from pathlib import Path

import pytest

from tests.unit.test_tariff_examples import examples, run_example

CASES = Path(__file__).parent / "quote_cases"
PAGES = sorted(page.name for page in CASES.glob("*.md"))


@pytest.mark.parametrize(("tariffs", "balances", "events"), list(examples(PAGES, CASES)))
def test_a_case_costs_what_was_worked_out_by_hand(tariffs, balances, events, tmp_path):
    run_example(tariffs, balances, events, tmp_path)


def test_there_are_cases_of_every_kind():
    assert len(list(examples(PAGES, CASES))) >= 50
