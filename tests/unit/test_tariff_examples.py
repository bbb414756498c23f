"""Every worked example of the documentation runs: tariff, accounts and events as printed, charges as printed.

An example is a block fenced as `yaml tariff` (or several: further versions), perhaps one `yaml balances`, then one
`jsonl events` whose lines say what they `expect`. A tariff block is laid over the base that docs/tariff-examples.md
shows first; it may leave out what that has.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from pipelines.quoting import quote_files
from reference_data.tariffs.compile import check_tariff, load_tariffs

DOCS = Path(__file__).parents[2] / "docs"
BASE_PAGE = "tariff-examples.md"
FENCE = re.compile(r"^```(yaml base|csv deck|yaml tariff|yaml balances|jsonl events)\n(.*?)^```$", re.M | re.S)
HEADING = re.compile(r"^#+ (.*)$", re.M)


class Written(yaml.SafeLoader):
    """Scalars stay the text that was written."""


Written.yaml_implicit_resolvers = {}


def blocks(page, folder=DOCS):
    text = (folder / page).read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        heading = [h[1] for h in HEADING.finditer(text[: found.start()])][-1]
        yield found[1], found[2], f"{page}:{text[: found.start()].count(chr(10)) + 1} {heading}"


BASE = {kind: text for kind, text, _ in blocks(BASE_PAGE) if kind in ("yaml base", "csv deck")}


def examples(pages=("tariffs.md", BASE_PAGE), folder=DOCS):
    for page in pages:
        tariffs, balances = [], None
        for kind, text, place in blocks(page, folder):
            if kind == "yaml tariff":
                tariffs.append(text)
            elif kind == "yaml balances":
                balances = text
            elif kind == "jsonl events":
                yield pytest.param(tariffs, balances, text, id=place)
                tariffs, balances = [], None
        assert not tariffs, f"{page}: a tariff without events"


def write(folder, tariffs):
    base = yaml.load(BASE["yaml base"], Written)
    (folder / "main.csv").write_text(BASE["csv deck"])
    for text in tariffs:
        version = base | yaml.load(text, Written)
        (folder / f"{version['version']}.yaml").write_text(yaml.safe_dump(version, sort_keys=False))
    return folder


def test_there_are_examples():
    assert len(list(examples())) >= 8


@pytest.mark.parametrize(("tariffs", "balances", "events"), list(examples()))
def test_the_example_costs_what_the_page_says(tariffs, balances, events, tmp_path):
    run_example(tariffs, balances, events, tmp_path)


def run_example(tariffs, balances, events, tmp_path):
    """Quote the events over the tariff; every `expect` holds, breakdowns add up, and nothing fails unexpectedly."""
    folder = tmp_path / "tariff"
    folder.mkdir()
    assert check_tariff(write(folder, tariffs)) == []
    (tmp_path / "events.jsonl").write_text(events)
    if balances is not None:
        (tmp_path / "balances.yaml").write_text(balances)
    lines = [json.loads(line) for line in events.splitlines()]
    assert any("expect" in line for line in lines)
    found = quote_files(load_tariffs(folder), tmp_path / "events.jsonl",
                        None if balances is None else tmp_path / "balances.yaml", None)
    assert [r["differences"] for r in found.results if r.get("as_expected") is False] == []
    for result, line in zip(found.results, lines, strict=True):
        if result["status"] in ("not_priced", "refused"):
            assert "expect" in line, result
        for shown in (result, *result.get("legs", ())):
            assert shown.get("breakdown", {}).get("agrees", True), result
