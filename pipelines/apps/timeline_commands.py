"""`tarifa account timeline`: what happened to an account around a time, and why. Reads; locks nothing."""

import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from pipelines.apps.options import BesideOption, HomeOption, JsonOption, LedgerOption, console, places
from schemas.errors import ChargingError
from schemas.timepoint import SECOND_US, format_time

if TYPE_CHECKING:
    from pipelines.accounts.timeline import Timeline

_SPAN = {"min": 60, "h": 3600, "d": 86_400}


def timeline_command(
    who: Annotated[str, typer.Argument(help="An MSISDN with its country code, or the number of an account.",
                                       metavar="MSISDN|ACCOUNT")],
    at: Annotated[str, typer.Option("--at", help="Around when. Default: now.")] = "",
    within: Annotated[str, typer.Option("--within", help="How far to either side: 30 min, 24 h, 7 d.")] = "24 h",
    as_json: JsonOption = False,
    home: HomeOption = None, input_folder: BesideOption = None, ledger: LedgerOption = "",
) -> None:
    """What happened around a time: grants, refusals, debits, state, tariff, balance before and after, in order."""
    from pipelines.apps.explain_commands import print_json
    from pipelines.apps.timeline_sources import timeline_of

    source, place = places(home, input_folder, ledger)
    found = timeline_of(source, place, who, at, _span(within))
    if as_json:
        print_json(found.as_json())
        return
    _print(found)


def _print(found: "Timeline") -> None:
    from schemas.money import format_money

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, side in (("time (UTC)", "left"), ("", "left"), ("what", "left"), ("amount", "right"),
                       ("balance before", "right"), ("after", "right")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for moment in found.moments:
        money = ["" if value is None else format_money(value) for value in
                 (moment.amount, moment.before, moment.after)]
        colour = {"refusal": "red", "suspense": "yellow", "command": "cyan", "state": "cyan"}.get(moment.kind, "")
        kind = f"[{colour}]{moment.kind}[/]" if colour else moment.kind
        table.add_row(format_time(moment.at_us).replace("T", " ").removesuffix("Z")[:19], kind, escape(moment.what),
                      *money)
    console.print(table)
    for sentence in found.words():
        console.print(escape(sentence), highlight=False, soft_wrap=True)


def _span(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,5}) ?(min|h|d)", text)
    if found is None:
        raise ChargingError(f"--within {text!r}", 'a span of time such as "30 min", "24 h" or "7 d"')
    return int(found[1]) * _SPAN[found[2]] * SECOND_US
