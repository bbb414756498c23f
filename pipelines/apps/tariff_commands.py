"""`tarifa tariff check|compile|diff|show`: tariffs proved, stored, compared and read before they are used."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.apps.options import console
from pipelines.durable import Disk, put_if_absent
from pipelines.quoting import price_of_number
from reference_data.tariffs.compile import Tariffs, check_tariff, load_tariffs
from reference_data.tariffs.diff import compare
from reference_data.tariffs.model import Plan, TariffVersion
from reference_data.tariffs.store import dump, load, open_tariffs
from reference_data.tariffs.words import facts, rate_words, scope_words
from schemas.errors import ReferenceDataError
from schemas.timepoint import format_time, parse_time

WRONG = DIFFERENT = 1

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="Folder of tariff "
                                                "versions, <version>.yaml.")]
TariffArgument = Annotated[Path, typer.Argument(metavar="TARIFF", exists=True, help="Folder of tariff versions, or a "
                                                "compiled file.")]


def register(app: typer.Typer) -> None:
    """Hang this module's commands into the command line."""
    for name, function in (("check", tariff_check_command), ("compile", tariff_compile_command),
                           ("diff", tariff_diff_command), ("show", tariff_show_command)):
        app.command(name)(function)


def tariff_check_command(folder: FolderArgument) -> None:
    """Whether every version compiles, alone and together. Ends with 1 when one does not, and names file and line."""
    problems = check_tariff(folder)
    for problem in problems:
        console.print(f"[red]{escape(problem)}[/]", highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(WRONG)
    for version in load_tariffs(folder).versions:
        console.print(f"[green]{escape(version.name)}[/]: {len(version.plans)} plans, {len(version.rates)} rates, "
                      f"{sum(len(deck) for deck in version.decks.values()):,} prefixes, {version.currency}")


def tariff_compile_command(
    folder: FolderArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the compiled file goes.")] = Path(),
) -> None:
    """Compile all versions into one immutable file, named after its content hash."""
    compiled = load_tariffs(folder)
    path = out / f"tariff-{compiled.content_hash[:16]}.npz"
    if path.exists():
        load(path)  # refuses what is no longer what it was named after
        console.print(f"{escape(str(path))} is there already")
    else:
        out.mkdir(parents=True, exist_ok=True)
        put_if_absent(Disk(), path, dump(compiled), mode=0o444)
        console.print(f"{escape(str(path))}: {path.stat().st_size:,} octets", soft_wrap=True, highlight=False)
    console.print(f"content hash {compiled.content_hash}", highlight=False)


def tariff_diff_command(
    before: TariffArgument,
    after: Annotated[Path | None, typer.Argument(metavar="[TARIFF]", exists=True, help="Another one. Left out: two "
                                                 "versions of the first are compared.")] = None,
    old: Annotated[str, typer.Option("--from", metavar="VERSION", help="Default: the newest but one, or newest.")] = "",
    new: Annotated[str, typer.Option("--to", metavar="VERSION", help="Default: the newest.")] = "",
) -> None:
    """What changes, in words and money. Ends with 0 when nothing does, with 1 when something does."""
    left = open_tariffs(before)
    right = open_tariffs(after) if after is not None else left
    if after is None and not old and len(left.versions) < 2:
        raise ReferenceDataError(f"{before} has one version, {left.versions[0].name}", "two versions, or two tariffs",
                                 "name another folder")
    found = False
    for one, other in _pairs(left, right, old, new, after is None):
        if (one.name, one.active_from_us) != (other.name, other.active_from_us):
            console.print(f"[bold]{escape(one.name)} (from {format_time(one.active_from_us)}) -> {escape(other.name)} "
                          f"(from {format_time(other.active_from_us)})[/]", highlight=False)
        for change in compare(one, other):
            found = True
            console.print(f"{escape(change.where)}: {escape(change.what)}", highlight=False, soft_wrap=True)
    for word, names in (("gone", {v.name for v in left.versions} - {v.name for v in right.versions}),
                        ("new", {v.name for v in right.versions} - {v.name for v in left.versions})):
        if after is not None and names and not (old or new):
            found = True
            console.print(f"{word}: version {escape(', '.join(sorted(names)))}", highlight=False)
    if not found:
        console.print("nothing changes")
    raise typer.Exit(DIFFERENT if found else 0)


def _pairs(left: Tariffs, right: Tariffs, old: str, new: str, same: bool) -> list[tuple[TariffVersion, TariffVersion]]:
    if old or new or same:
        return [(_version(left, old) if old else left.versions[-2 if same else -1], _version(right, new))]
    names = {v.name for v in right.versions}
    common = [(v, _version(right, v.name)) for v in left.versions if v.name in names]
    return common or [(left.versions[-1], right.versions[-1])]


def _version(tariffs: Tariffs, name: str = "", at: str = "") -> TariffVersion:
    """The version of that name, the one in force then, or the newest."""
    if name:
        for version in tariffs.versions:
            if version.name == name:
                return version
        raise ReferenceDataError(f"no version {name!r}", "one of " + ", ".join(v.name for v in tariffs.versions))
    if at:
        moment = _moment(at, tariffs)
        found = tariffs.version_at(moment)
        if found is None:
            raise ReferenceDataError(f"no version is in force at {at}",
                                     f"a time from {format_time(tariffs.versions[0].active_from_us)}")
        return found
    return tariffs.versions[-1]


def _moment(at: str, tariffs: Tariffs) -> int:
    try:
        return parse_time(at, tariffs.versions[-1].time_zone)
    except (ValueError, OverflowError):
        raise ReferenceDataError(f"--at {at!r}", "a time such as 2026-03-01T12:00:00") from None


def tariff_show_command(
    tariff: TariffArgument,
    version: Annotated[str, typer.Option("--version", help="Default: the one in force --at, else the newest.")] = "",
    plan: Annotated[str, typer.Option("--plan", help="Only this plan.")] = "",
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="ISO; local time of the tariff unless it has an "
                                    "offset.")] = "",
    number: Annotated[str, typer.Option("--number", help="What a minute and a message to this number cost.")] = "",
) -> None:
    """Plans with their prices by zone and band; or, with --number, which zone and price a number has."""
    tariffs = open_tariffs(tariff)
    chosen = _version(tariffs, version, at)
    plans = [chosen.plans[name] for name in sorted(chosen.plans) if plan in ("", name)]
    if not plans:
        raise ReferenceDataError(f"version {chosen.name} has no plan {plan!r}", "one of " + ", ".join(chosen.plans))
    console.print(f"[bold]version {escape(chosen.name)}[/], in force from {format_time(chosen.active_from_us)}, "
                  f"{chosen.currency}, hours of {chosen.time_zone}", highlight=False)
    if number:
        moment = _moment(at, tariffs) if at else max(chosen.active_from_us, 0)
        _show_number(tariffs, chosen, plans, number, moment)
    else:
        _show_plans(chosen, plans)


def _show_number(tariffs: Tariffs, version: TariffVersion, plans: list[Plan], number: str, time_us: int) -> None:
    table = Table("plan", "service", "zone", "prefix", "band", "price", "costs", title=f"{number} at "
                  f"{format_time(time_us)}", title_justify="left", box=None)
    digits = "".join(c for c in number if c.isdigit())
    for plan in plans:
        deck = version.decks[plan.deck]
        prefix = next((digits[:n] for n in range(len(digits), 0, -1) if digits[:n] in deck), "")
        for what, result in price_of_number(tariffs, plan.name, number, time_us):
            rate = version.rates.get(result.get("rate", ""))
            cost = f"{result['charge']} {result['currency']} for {what}" if "charge" in result else result["reason"]
            if result["status"] == "allowance":
                cost = f"covered by {', '.join(b['bucket'] for b in result['buckets'])}"
            table.add_row(plan.name, result["service"], result.get("zone", ""), prefix,
                          result.get("band", "").removeprefix("all_day"),
                          rate_words(rate) if rate else result.get("rate", ""), cost)
    console.print(table, highlight=False)


def _show_plans(version: TariffVersion, plans: list[Plan]) -> None:
    for plan in plans:
        table = Table("usage", "band", "price", title=f"plan {escape(plan.name)}", title_justify="left", box=None,
                      title_style="bold")
        for rule in plan.prices:
            for band, rate in rule.rates.items():
                table.add_row(escape(scope_words(rule.scope)), "" if band == "all_day" else band,
                              escape(rate_words(version.rates[rate])))
        console.print(table, highlight=False)
        terms = {key: value for key, value in facts(plan).items() if key not in ("prices", "allowances")}
        console.print(escape("  " + ", ".join(f"{key} {value}" for key, value in terms.items())), highlight=False)
        _things("allowance", {a.name: a for a in plan.allowances})
        for kind, names, known in (("discount", plan.discounts, version.discounts), ("fee", plan.fees, version.fees),
                                   ("counter", plan.counters, version.counters)):
            _things(kind, {name: known[name] for name in names if name in known})
    _things("bucket", version.buckets)
    _things("top-up", {str(number): rule for number, rule in enumerate(version.top_ups, 1)})
    _things("leg", {leg.name: leg for leg in version.legs})
    for name, timing in version.timings.items():
        console.print(f"timing {escape(name)}: bands {escape(', '.join(timing.bands))}", highlight=False)
    for name, deck in version.decks.items():
        zones: dict[str, int] = {}
        for zone in deck.values():
            zones[zone] = zones.get(zone, 0) + 1
        console.print(f"deck {escape(name)}: " + ", ".join(f"{escape(z)} {n:,}" for z, n in sorted(zones.items()))
                      + " prefixes", highlight=False)


def _things(kind: str, things: "dict[str, object] | object") -> None:
    assert isinstance(things, dict)
    for name, thing in things.items():
        said = ", ".join(f"{key} {value}" for key, value in facts(thing).items())
        console.print(escape(f"  {kind} {name}: {said}"), highlight=False)
