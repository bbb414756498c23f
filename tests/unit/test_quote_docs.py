"""docs/quote.md is true: its example runs, and its fields, the reader's and the JSON Schema's are the same."""

import json
import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

import reference_data.tariffs
from pipelines.apps.cli import app
from pipelines.quoting import quote_files
from rating.quote_accounts import ACCOUNT_FIELDS
from rating.quote_events import EVENT_FIELDS
from reference_data.tariffs.compile import load_tariffs

PAGE = (Path(__file__).parents[2] / "docs" / "quote.md").read_text(encoding="utf-8")
SCHEMA = json.loads(files("schemas").joinpath("quote.schema.json").read_text(encoding="utf-8"))
EXAMPLE = Path(reference_data.tariffs.__file__).parent / "examples" / "tariffs"
EVENTS = re.search("```jsonl\n(.*?)```", PAGE, re.S)[1]
BALANCES = re.search("with `(anna: .*?)` gives", PAGE)[1]


def part(name):
    return jsonschema.Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{name}"}]})


@pytest.fixture
def example(tmp_path):
    (tmp_path / "e.jsonl").write_text(EVENTS)
    (tmp_path / "b.yaml").write_text(BALANCES)
    return tmp_path


def test_the_example_says_what_the_page_says(example):
    said = re.search("gives\n\n```\n(.*?)```", PAGE, re.S)[1]
    found = CliRunner().invoke(app, ["quote", "--tariff", str(EXAMPLE), "--events", str(example / "e.jsonl"),
                                     "--balances", str(example / "b.yaml")])
    def squeezed(text):
        return [line.split() for line in text.splitlines()]
    assert squeezed(found.stdout) == squeezed(said)


def test_what_goes_in_and_comes_out_is_what_the_schema_says(example):
    for line in EVENTS.splitlines():
        part("line").validate(json.loads(line))
    found = quote_files(load_tariffs(EXAMPLE), example / "e.jsonl", example / "b.yaml", None)
    part("answer").validate({"tariff": "", "results": found.results, "totals": found.totals,
                             "balances": found.balances})
    assert not part("line").is_valid({"service": "voice"})
    assert not part("event").is_valid({"service": "fax", "time": "2026-06-01T12:00:00"})


def test_reader_schema_and_page_know_the_same_fields():
    assert set(SCHEMA["$defs"]["event"]["properties"]) == EVENT_FIELDS
    assert set(SCHEMA["$defs"]["account"]["properties"]) == ACCOUNT_FIELDS
    for name in EVENT_FIELDS | ACCOUNT_FIELDS:
        if name not in ("kind", "account_id", "shared_account_id"):
            assert f"`{name}`" in PAGE, name


def test_every_result_field_is_in_the_schema_and_on_the_page(example):
    found = quote_files(load_tariffs(EXAMPLE), example / "e.jsonl", example / "b.yaml", None)
    for name in {name for result in found.results for name in result}:
        assert name in SCHEMA["$defs"]["result"]["properties"], name
        assert f"`{name}`" in PAGE, name
