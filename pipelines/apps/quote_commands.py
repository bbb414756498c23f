"""`tarifa quote`: what usage would cost, without posting anything."""

import json
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.apps.options import console
from pipelines.apps.price_words import discount_words, piece_words
from pipelines.quoting import quote_files
from rating.quote import Quote
from reference_data.tariffs.store import open_tariffs
from schemas.errors import ReferenceDataError

NOT_ALL = 1


class Shape(StrEnum):
    """How results are shown."""

    JSON = "json"
    TABLE = "table"


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    app.command("quote")(quote_command)


def quote_command(
    tariff: Annotated[Path, typer.Option("--tariff", metavar="DIR", help="Folder of tariff versions, or a "
                      "compiled file.")],
    events: Annotated[Path, typer.Option("--events", metavar="FILE.jsonl", help="Usage and commands, one JSON object "
                      "a line: docs/quote.md.")],
    balances: Annotated[Path | None, typer.Option("--balances", metavar="FILE", help="Accounts with their balances, "
                        "JSON or YAML. Without it every plan gets an account that can pay anything.")] = None,
    operator: Annotated[Path | None, typer.Option("--operator", metavar="DIR", help="operator.yaml and "
                        "number_plan.yaml: how numbers are dialled, which network is home.")] = None,
    shape: Annotated[Shape, typer.Option("--format", help="For programs, or for people.")] = Shape.TABLE,
    breakdown: Annotated[bool | None, typer.Option("--breakdown/--no-breakdown", help="Whether each price is told by "
                         "slot and band. Default: for up to 5,000 events.")] = None,
) -> None:
    """What usage costs, event after event over the same balances; nothing is posted.

    Ends with 1 when an event could not be priced, with 2 when the input cannot be read.
    """
    if not tariff.exists():
        raise ReferenceDataError(f"--tariff: nothing at {tariff}", "a folder of tariff versions, or a compiled file")
    if operator is not None and not operator.is_dir():
        raise ReferenceDataError(f"--operator: no folder at {operator}", "a folder")
    tariffs = open_tariffs(tariff)
    found = quote_files(tariffs, events, balances, operator, breakdown)
    if shape == Shape.JSON:
        typer.echo(json.dumps({"tariff": tariffs.content_hash, "results": found.results, "totals": found.totals,
                               "balances": found.balances}, indent=2, ensure_ascii=False))
    else:
        _show(found)
    if found.failed:
        raise typer.Exit(NOT_ALL)


def _show(found: Quote) -> None:
    """A line for each event, and below it, indented, how its price came about."""
    several = len({str(result.get("account")) for result in found.results if result.get("account") is not None}) > 1
    rows = [_row(result, several) for result in found.results]
    head = ("line", "event", "account" if several else "", "plan", "quantity", "zone, bands", "charge", "balance")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    while sum(widths) + len(widths) - 1 > _WIDTH:  # names give way to numbers
        widest = max(_NAMES, key=lambda i: widths[i])
        widths[widest] -= 1
    lines = [[_line(head, widths)]] + [[_line(row, widths), *_below(result)]
                                       for row, result in zip(rows, found.results, strict=True)]
    for number, (first, *below) in enumerate(lines):
        result = found.results[number - 1] if number else None
        style = "bold" if result is None else "red" if result["status"] in ("not_priced", "refused") else ""
        console.print(first, style=style, markup=False, highlight=False, soft_wrap=True)
        for line in below:
            console.print("      " + line, style="red" if line.startswith("!") else "dim", markup=False,
                          highlight=False, soft_wrap=True)
    totals = found.totals
    console.print(f"{totals['events']:,} events: {totals['priced']:,} priced, {totals['not_priced']:,} not"
                  + (f"; {totals['commands']:,} commands, {totals['refused']:,} refused" if totals["commands"] else "")
                  + (f"; {totals['not_as_expected']:,} not as expected" if "not_as_expected" in totals else ""))
    for name in ("charge", "connect_fee", "tax", "uncollected"):
        sums = ", ".join(f"{amount} {currency}" for currency, amount in totals[name].items()
                         if name == "charge" or not is_zero(amount))
        if sums:
            console.print(f"{name.replace('_', ' ')}: {sums}", highlight=False)


_WIDTH = 100
_NAMES, _RIGHT = (1, 2, 3, 5), (4, 6, 7)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = []
    for i, (text, width) in enumerate(zip(row, widths, strict=True)):
        if width == 0:  # one account, no column
            continue
        short = text if len(text) <= width else text[: width - 1] + "…"
        cells.append(short.rjust(width) if i in _RIGHT else short.ljust(width))
    return " ".join(cells).rstrip()


def is_zero(amount: str) -> bool:
    """Whether decimal text is nothing."""
    return not amount.strip("0.")


def _row(result: dict[str, Any], several: bool) -> tuple[str, ...]:
    """Cells of a line; the account only where there are several."""
    account = result.get("account")
    start = str(result["line"]), str(result["id"]), str(account) if several and account is not None else ""
    if "kind" in result:
        return (*start, str(result["kind"]), "", result["status"], "", result.get("balance", ""))
    if "charge" not in result:
        return (*start, "", "", result["reason"], "", result.get("balance", ""))
    bands = ", ".join(result.get("bands", [result["band"]]))
    return (*start, result["plan"], _counted(result["quantity"], result["unit"]), f"{result['zone']}, {bands}",
            f"{result['charge']} {result['currency']}", result.get("balance", ""))


def _counted(quantity: int, unit: str) -> str:
    return f"{quantity:,} {unit}{'' if quantity == 1 else 's'}"


def _limits(breakdown: dict[str, Any]) -> list[str]:
    """Where the price is not the sum of its pieces: a least or most charge, or what earlier reports paid."""
    if "usage_price" not in breakdown:
        return []
    lines, price = [], Fraction(breakdown["usage_price"])
    if 0 < price < (least := Fraction(breakdown["minimum"])):
        lines.append(f"minimum charge: {breakdown['minimum']} instead of {breakdown['usage_price']}")
        price = least
    if "maximum" in breakdown and price > Fraction(breakdown["maximum"]):
        lines.append(f"maximum charge: {breakdown['maximum']}")
    return lines


def _below(result: dict[str, Any]) -> list[str]:
    """What else is worth a line of its own."""
    lines = []
    if result["status"] in ("not_priced", "refused"):
        lines.append(f"! {result.get('explanation', '')}")
    if "charge" in result and not is_zero(result["connect_fee"]):
        lines.append(f"connect fee {result['connect_fee']}")
    lines += [piece_words(piece) for piece in result.get("breakdown", {}).get("pieces", ())]
    lines += _limits(result.get("breakdown", {}))
    for bucket in result.get("buckets", ()):
        used = f"{bucket['used']} used, " if "used" in bucket else ""
        unit = "" if bucket["unit"] == "money" else f" {bucket['unit']}s"
        if bucket.get("account", result.get("account")) != result.get("account"):
            used = f"of {bucket['account']}, {used}"
        if sum(other["bucket"] == bucket["bucket"] for other in result["buckets"]) > 1 and "cycle_from" in bucket:
            used = f"{'carried over to' if bucket.get('rolled_over') else 'cycle of'} {bucket['cycle_from']}, {used}"
        lines.append(f"bucket {bucket['bucket']}: {used}{bucket['remaining']}{unit} left")
    lines += [discount_words(item) for item in result.get("discounts", ())]
    if not is_zero(result.get("tax", "0")):
        lines.append(f"tax {result['tax']} in it")
    lines += [f"counter {item['counter']}: {item['value']}" for item in result.get("counters", ())]
    lines += [f"notified: {item['counter']} reached {item['threshold']}" for item in result.get("notifications", ())]
    if "refusal" in result:
        lines.append(f"! the account's state refuses it: {result['refusal']}")
    if "disconnect_at" in result:
        lines.append(f"to be disconnected at {result['disconnect_at']}")
    if "charge" in result and not is_zero(result["uncollected"]):
        lines.append(f"{result['uncollected']} uncollected")
    before = result.get("breakdown", {}).get("charged_before", "0")
    if not is_zero(before.removeprefix("-")):
        lines.append(f"{result['breakdown']['session_price']} so far, {before} of it before")
    lines += [f"account {other['account']} paid too: {other['balance']} left"
              for other in result.get("other_balances", ())]
    for leg in result.get("legs", ()):
        lines.append(f"leg {leg['leg']}, {leg['name']}: account {leg['account']}, "
                     + (f"{leg['charge']} {leg['currency']}" if "charge" in leg else leg["reason"]))
        lines += [f"  {line}" for line in _below(leg)]
    lines += [f"! {wrong}" for wrong in result.get("differences", ())]
    return lines
