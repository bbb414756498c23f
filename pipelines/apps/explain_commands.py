"""`tarifa explain` and `tarifa trace`: from a charge to its bytes, and from bytes to what became of them."""

import json
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from pipelines.apps.opening import lineage, note_look
from pipelines.apps.options import (
    BesideOption,
    HomeOption,
    JsonOption,
    LedgerOption,
    RevealOption,
    WhyOption,
    console,
    places,
)
from pipelines.apps.price_words import discount_words, piece_words
from pipelines.explain import Explanation, Fate, SourceRecord
from pipelines.masking import mask
from schemas.errors import LedgerError
from schemas.money import format_money

_SHOWN_OCTETS = 32
_FACTS = ("event_id", "service", "direction", "event_time_us", "quantity", "unit", "account_id", "merged_count",
          "incomplete", "journal_position", "leg", "revision", "status")
_FATE_FACTS = ("event_id", "container_index", "service", "quantity", "unit", "stage", "reason", "kind", "first_file_id",
               "first_record_offset", "leg", "charge_nanos", "currency", "account_id", "journal_position",
               "action", "who", "why")


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.command("explain")(explain_command)
    app.command("trace")(trace_command)


def explain_command(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="Event id: 32 hex digits, `event_id` of view rated.")],
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
    reveal: RevealOption = False, why: WhyOption = "", as_json: JsonOption = False,
) -> None:
    """Why a usage was charged what it was: price, postings, and the bytes it came from, decoded again on the spot."""
    source, place = places(home, input_folder, ledger)
    with lineage(source, place) as found:
        explanations, aside = found.explain(event_id), found.legs_aside(event_id)
    if reveal:
        note_look(place, why, tokens_of([e.rated for e in explanations]))
    if as_json:
        print_json([{"rated": e.rated, "pricing": e.pricing, "postings": e.postings,
                     "records": [record_facts(r, reveal) for r in e.records],
                     **({"legs_set_aside": aside} if aside and e.rated["leg"] == 0 else {})} for e in explanations])
        return
    for explanation in explanations:
        _print_explanation(explanation, reveal)
    for leg in aside:
        console.print(f"[yellow]charge leg {leg['leg']} ({escape(leg['name'])}) is set aside:[/] {leg['reason']}, "
                      f"for account {leg['account_id']}", highlight=False)


def trace_command(
    place_text: Annotated[str, typer.Argument(metavar="FILE:OFFSET", help="A collected file's name, source/name or "
                                              "number, and a byte in it, from 0.")],
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
    reveal: RevealOption = False, why: WhyOption = "", as_json: JsonOption = False,
) -> None:
    """What became of a byte: the record it belongs to, and every row that came of it."""
    file, _, offset = place_text.rpartition(":")
    if not file or not offset.isdecimal():
        raise LedgerError(f"{place_text!r} names no byte", "FILE:OFFSET, such as pgw-1_000001.dat:4096")
    source, place = places(home, input_folder, ledger)
    with lineage(source, place) as found:
        audit, record, fates = found.trace(file, int(offset))
    if reveal:
        note_look(place, why, tokens_of([fate.row for fate in fates]))
    if as_json:
        print_json({"file": audit, "record": record and record_facts(record, reveal),
                    "fates": [{"table": f.table, "meaning": f.meaning, "row": f.row} for f in fates]})
        return
    console.print(f"[bold]{escape(audit['source'])}/{escape(audit['file_name'])}[/]  file {audit['file_id']}, "
                  f"{audit['file_octets']:,} octets, {audit.get('state') or 'not read to its end yet'}")
    if record is None:
        console.print("No record has this byte: it belongs to the file's header or trailer"
                      + ("" if audit.get("state") == "read" else ", or was not read yet") + ".")
    else:
        print_record(record, reveal)
    for fate in fates:
        _print_fate(fate)


def tokens_of(rows: list[dict[str, Any]]) -> np.ndarray:
    """All tokens that rows hold."""
    return np.array(sorted({value for row in rows for name, value in row.items()
                            if name.endswith("_token") and value is not None}), np.int64)


def record_facts(record: SourceRecord, reveal: bool) -> dict[str, Any]:
    """A record for JSON; its bytes only when numbers may be seen."""
    return {"source": record.source, "file": record.file_name, "file_id": record.file_id, "offset": record.offset,
            "octets": record.length, "note": record.note,
            "decoded": record.decoded if reveal else mask(record.decoded),
            "raw": record.raw.hex() if reveal and record.raw is not None else None}


def print_json(value: Any) -> None:
    """To standard output, one indented document."""
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def print_record(record: SourceRecord, reveal: bool) -> None:
    """Where a record lies and what it says."""
    if record.file_id:
        console.print(f"[bold]record[/] {escape(record.source)}/{escape(record.file_name)} (file {record.file_id}), "
                      f"octets {record.offset:,} to {record.offset + record.length - 1:,}")
    else:
        console.print(f"[bold]request[/] over {escape(record.source)}, journal position {record.offset:,}")
    if record.note:
        console.print(f"  [yellow]{escape(record.note)}[/]", highlight=False)
    if record.raw is not None and reveal:
        more = f" ... {len(record.raw) - _SHOWN_OCTETS:,} more" if len(record.raw) > _SHOWN_OCTETS else ""
        console.print(f"  {record.raw[:_SHOWN_OCTETS].hex(' ')}{more}", highlight=False)
    if record.decoded is not None:
        tree = Tree("decoded" if reveal else "decoded (numbers hidden; --reveal --why TEXT shows them)")
        _grow(tree, record.decoded if reveal else mask(record.decoded))
        console.print(tree)


def _grow(tree: Tree, value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _branch(tree, str(key), item)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict) and "tag" in item:  # an element of BER
                label = f"\\[{item['tag']}] {escape(str(item.get('name', '')))}".rstrip()
                _branch(tree, label, item.get("fields", item.get("value", "")), escaped=True)
            elif isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
                _branch(tree, item[0], item[1])
            else:
                _branch(tree, "-", item)


def _branch(tree: Tree, label: str, item: Any, escaped: bool = False) -> None:
    shown = label if escaped else escape(label)
    if isinstance(item, dict | list) and item:
        _grow(tree.add(shown), item)
    else:
        tree.add(f"{shown}: {escape(str(item))}", highlight=False)


def _print_explanation(explanation: Explanation, reveal: bool) -> None:
    row = explanation.rated
    facts = Table("rated event", "", show_header=True, header_style="bold", box=None)
    for name in _FACTS:
        if row.get(name) is not None:
            facts.add_row(name, escape(str(row[name])))
    walk: Any = explanation.pricing.get("walk", {})
    for name, value in explanation.pricing.items():
        if name != "walk":
            facts.add_row(name, escape(str(value)))
    for piece in walk.get("pieces", ()):
        place, _, words = piece_words(piece).partition(": ")
        facts.add_row(place, escape(words))
    for discount in walk.get("discounts", ()):
        facts.add_row("", escape(discount_words(discount)))
    for name in ("usage_price", "minimum", "maximum", "session_exact", "rounding", "session_price", "charged_before",
                 "due", "tax"):
        if name in walk:
            facts.add_row(name.replace("_", " "), escape(str(walk[name])))
    console.print(facts)
    postings = Table("account", "of", "bucket", "amount", "reason", title="postings", title_justify="left", box=None)
    for posting in explanation.postings:
        amount = f"{format_money(posting['amount'])} {posting['currency']}" if posting["unit"] == "money" \
            else f"{posting['amount']:,} {posting['unit']}s"
        postings.add_row(posting["ledger_account"], str(posting["account_id"]), str(posting["bucket_id"] or ""), amount,
                         posting["reason"])
    console.print(postings if explanation.postings else "No posting: nothing was to be paid.")
    console.print(f"made from {len(explanation.records)} record(s):")
    for record in explanation.records:
        print_record(record, reveal)


def _print_fate(fate: Fate) -> None:
    facts = ", ".join(f"{name} {fate.row[name]}" for name in _FATE_FACTS if fate.row.get(name) is not None)
    console.print(f"[bold]{fate.table}[/] {escape(fate.meaning)}: {escape(facts)}", highlight=False)
