"""Versions to tables: immutable int64 vectors in the layout of `schemas.tariff_tables`, with a content hash."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reference_data.prefix_trie import PrefixForest, PrefixTrie
from reference_data.tariffs.bounds import prove
from reference_data.tariffs.cells import FREE_BY_CLASS, Axes, allowance_cells, axes_of, price_cells
from reference_data.tariffs.model import (
    CYCLES,
    UNKNOWN,
    UNKNOWN_NETWORK,
    Allowance,
    Plan,
    Rate,
    Slot,
    TariffVersion,
)
from reference_data.tariffs.parse import ALL_DAY, read_version
from reference_data.tariffs.pricing import Terms, add_family, add_rate
from reference_data.tariffs.rows import Rows, stable_key
from reference_data.tariffs.source import refuse
from schemas.codes import Service
from schemas.columns import I64
from schemas.errors import ReferenceDataError
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, BUCKET_UNIT_SHIFT, NAMES
from schemas.timepoint import zone_offsets
from schemas.units import SERVICE_UNIT

MAX_CELLS = 1 << 25


@dataclass(frozen=True)
class Tariffs:
    """All versions, compiled. `tables` is what kernels take; `labels` name what their results index.

    slots (s,) int32 and leaves (n,) int64: the prefix forest of the decks. apns: names that CLASS_APN indexes.
    """

    versions: tuple[TariffVersion, ...]
    tables: tuple[I64, ...]
    slots: npt.NDArray[np.int32]
    leaves: I64
    labels: dict[str, list[str]]
    apns: tuple[str, ...]
    rate_names: tuple[str, ...]
    content_hash: str


def load_tariffs(folder: Path) -> Tariffs:
    """Every version in `folder` (*.yaml). Raises ReferenceDataError: nothing there, or what is there is refused."""
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ReferenceDataError(f"no tariff version in {folder.name}/", "at least one <version>.yaml",
                                 "see docs/tariffs.md")
    return compile_versions([read_version(path) for path in paths])


def check_tariff(folder: Path) -> list[str]:
    """What is wrong with a folder of tariffs, a message for each file at most, then for them together."""
    problems, versions = [], []
    for path in sorted(folder.glob("*.yaml")):
        try:
            version = read_version(path)
            compile_versions([version])
            versions.append(version)
        except ReferenceDataError as problem:
            problems.append(str(problem))
    if not problems:
        try:
            load_tariffs(folder)
        except ReferenceDataError as problem:
            problems.append(str(problem))
    return problems


def definition_key(plan: str, allowance: Allowance) -> int:
    """Bucket id of an allowance before the first day of its cycle is added; see `schemas.tariff_tables`."""
    return (stable_key(plan, allowance.name, bits=40) << BUCKET_UNIT_SHIFT + 3
            | int(allowance.unit) << BUCKET_UNIT_SHIFT | CYCLES.index(allowance.cycle) << BUCKET_CYCLE_SHIFT)


def compile_versions(versions: list[TariffVersion]) -> Tariffs:
    """Raises ReferenceDataError on two versions with one activation time and on all that a plan can get wrong."""
    versions = sorted(versions, key=lambda v: v.active_from_us)
    for before, after in pairwise(versions):
        if before.active_from_us == after.active_from_us:
            raise ReferenceDataError(f"versions {before.name!r} and {after.name!r} come into force at the same time",
                                     "one version at a time", "change active_from of one")
    axes = axes_of(versions)
    labels = {
        "tariff_version": [v.name for v in versions],
        "plan": sorted({p for v in versions for p in v.plans}),
        "zone": [*axes.zones, *(f"roaming:{name}" for name in axes.roaming)],
        "band": [ALL_DAY, *sorted({b for v in versions for t in v.timings.values() for b in t.bands} - {ALL_DAY})],
        "currency": sorted({v.currency for v in versions}),
        "counter": sorted({c for v in versions for c in v.counters}),
    }
    cells = sum(len(v.plans) for v in versions) * int(np.prod(axes.shape))
    if cells > MAX_CELLS:
        raise ReferenceDataError(f"plans x services x roaming zones x zones come to {cells} cells",
                                 f"at most {MAX_CELLS}", "merge zones that cost the same, or retire old versions")
    rows = Rows()
    apns = sorted({a for v in versions for c in v.data_classes for a in c.apns or ()})
    tries, deck_rows = _decks(versions, axes)
    forest = PrefixForest.stack(tries)
    rate_names: list[str] = []
    cell_parts: list[I64] = []
    rows.add(SET_FIRST=0)
    rows.seen["set", ()] = 0
    for number, version in enumerate(versions):
        rows.add(VERSION_FROM=version.active_from_us, VERSION_CURRENCY=labels["currency"].index(version.currency))
        _networks(rows, version, axes)
        _classes(rows, version, axes, apns)
        for name in labels["plan"]:
            if name not in version.plans:
                rows.add(VERSION_PLAN=-1)
                continue
            plan = version.plans[name]
            if plan.deck not in version.decks:
                raise refuse(version.file, plan.line, f"plan {name!r} uses deck {plan.deck!r}",
                             "one of " + ", ".join(version.decks), "declare it under `decks`")
            rows.add(VERSION_PLAN=rows.size("PLAN_ROOT"), PLAN_ROOT=int(forest.roots[deck_rows[number, plan.deck]]),
                     PLAN_CELL=len(cell_parts))
            cell_parts.append(_plan_cells(rows, version, plan, axes, labels, rate_names))
    for first, count in (("PLMN_FIRST", "PLMN_CODE"), ("CLASS_FIRST", "CLASS_ZONE"), ("TIMING_FIRST", "SEGMENT_START"),
                         ("ENTRY_RATE_FIRST", "ENTRY_RATE"), ("RATE_SLOT_FIRST", "SLOT_FROM"),
                         ("ZONE_FIRST", "ZONE_AT"), ("SET_FIRST", "SET_DEFINITION"),
                         ("ENTRY_COUNTER_FIRST", "ENTRY_COUNTER"), ("FAMILY_DISCOUNT_FIRST", "DISCOUNT_CAP"),
                         ("COUNTER_THRESHOLD_FIRST", "THRESHOLD")):
        rows.vectors[first].append(rows.size(count))
    arrays = {name: np.array(values, np.int64) for name, values in rows.vectors.items()}
    # Kinds that no plan prices are left out: the cells of those in use should stay near the processor.
    whole = np.stack(cell_parts)
    priced = (whole & 0xFFFFFFFF).any(axis=(0, 2, 3))
    arrays["KIND"] = np.where(priced, np.cumsum(priced) - 1, -1)
    arrays["CELL"] = np.ascontiguousarray(whole[:, priced]).ravel()
    arrays["PLAN_CELL"] *= arrays["CELL"].size // len(cell_parts)
    arrays["DIMS"] = np.array([len(labels["plan"]), int(priced.sum()), *axes.shape[1:], len(axes.zones)], np.int64)
    keys = arrays["DEFINITION_KEY"]
    if len(set(keys.tolist())) != len({k for k in rows.seen if isinstance(k, tuple) and k[0] == "name"}):
        raise ReferenceDataError("two allowances have the same 40-bit key", "distinct keys", "rename one of them")
    return _freeze(versions, arrays, forest, labels, apns, rate_names)


def _freeze(versions: list[TariffVersion], arrays: dict[str, I64], forest: PrefixForest,
            labels: dict[str, list[str]], apns: list[str], rate_names: list[str]) -> Tariffs:
    for name in NAMES:
        arrays[name].setflags(write=False)
    tables = tuple(arrays[name] for name in NAMES)
    return Tariffs(tuple(versions), tables, forest.slots, forest.leaves, labels, tuple(apns), tuple(rate_names),
                   content_hash(tables, forest.slots, forest.leaves, labels, apns, rate_names))


def content_hash(tables: Sequence[I64], slots: npt.NDArray[np.int32], leaves: I64, *named: object) -> str:
    """Of the tables as kernels take them, the prefix forest, and the names behind their numbers."""
    digest = hashlib.sha256()
    for name, table in zip(NAMES, tables, strict=True):
        digest.update(name.encode() + len(table).to_bytes(8, "big") + table.tobytes())
    digest.update(slots.tobytes() + leaves.tobytes())
    digest.update(repr(named).encode())
    return digest.hexdigest()


def _decks(versions: list[TariffVersion], axes: Axes) -> tuple[list[PrefixTrie], dict[tuple[int, str], int]]:
    """A trie for each distinct deck, and which deck of which version it is."""
    tries: list[PrefixTrie] = []
    places: dict[frozenset[tuple[str, str]], int] = {}
    rows = {}
    for number, version in enumerate(versions):
        for name, deck in version.decks.items():
            content = frozenset(deck.items())
            if content not in places:
                places[content] = len(tries)
                tries.append(PrefixTrie.build(list(deck), [axes.zones[z] for z in deck.values()]))
            rows[number, name] = places[content]
    return tries, rows


def _networks(rows: Rows, version: TariffVersion, axes: Axes) -> None:
    country = [UNKNOWN_NETWORK] * 1000
    exact: dict[int, int] = {}
    claimed: dict[str, str] = {}
    for zone, networks in version.roaming.items():
        for network in networks:
            if network in claimed:
                raise ReferenceDataError(f"{version.file}: network {network!r} is in roaming zones "
                                         f"{claimed[network]!r} and {zone!r}", "one of them", "remove the other")
            claimed[network] = zone
    for network, zone in sorted(claimed.items(), key=lambda item: len(item[0])):  # "*", then MCC, then MCC+MNC
        if network == "*":
            country = [axes.roaming[zone]] * 1000
        elif len(network) == 3:
            country[int(network)] = axes.roaming[zone]
        else:
            exact[int(network[:3]) * 1000 + int(network[3:])] = axes.roaming[zone]
    rows.vectors["PLMN_COUNTRY"] += country
    rows.add(PLMN_FIRST=rows.size("PLMN_CODE"))
    for code in sorted(exact):
        rows.add(PLMN_CODE=code, PLMN_ZONE=exact[code])


def _classes(rows: Rows, version: TariffVersion, axes: Axes, apns: list[str]) -> None:
    rows.add(CLASS_FIRST=rows.size("CLASS_ZONE"))
    for item in version.data_classes:
        for group in item.rating_groups or (-1,):
            for apn in item.apns or ("",):
                rows.add(CLASS_GROUP=group, CLASS_APN=apns.index(apn) if apn else -1, CLASS_ZONE=axes.zones[item.name])


def _plan_cells(rows: Rows, version: TariffVersion, plan: Plan, axes: Axes, labels: dict[str, list[str]],
                rate_names: list[str]) -> I64:
    """The plan's cells; adds its families, entries, rates and allowance sets to `rows`."""
    rule_of = price_cells(version, plan, axes)
    sets = _allowance_sets(rows, version, plan, axes)
    terms = Terms(rows, version, plan, axes, labels["counter"])
    free = Rate("free", SERVICE_UNIT[Service.VOICE], 0, 0, (Slot(0, 0, 1, 1, plan.line),), plan.line)
    entry_plus_one = np.zeros(axes.shape, np.int64)
    for service in Service:
        block = slice(service * 3, service * 3 + 3)
        rules, unit = rule_of[block], SERVICE_UNIT[service]
        discounts, counters = terms.combined(service, unit)
        for chain_bits in sorted(set(discounts[rules != -1].tolist())):
            inside = (rules != -1) & (discounts == chain_bits)
            numbers = sorted(set(rules[inside].tolist()))
            used = {name: version.rates[name] for n in numbers if n >= 0 for name in plan.prices[n].rates.values()}
            chain = terms.chain(chain_bits)
            family = prove(version, plan, unit, list(used.values()), chain)
            family_row = add_family(rows, version, plan, service, unit, family, chain)
            rate_rows: dict[tuple[str, int], int] = {}
            for n in numbers:
                for counter_bits in sorted(set(counters[inside & (rules == n)].tolist())):
                    cells = inside & (rules == n) & (counters == counter_bits)
                    timing, bands, over = "", {ALL_DAY: free}, -1
                    if n != FREE_BY_CLASS:
                        rule = plan.prices[n]
                        timing = rule.timing or ""
                        names = version.timings[timing].bands if timing else (ALL_DAY,)
                        bands = {band: used[rule.rates[band]] for band in names}
                        over = terms.over(rule, list({r.name: r for r in bands.values()}.values()), counter_bits,
                                          bool(sets[block][cells].any()))
                    for rate in bands.values():
                        if (rate.name, over) not in rate_rows:
                            rate_rows[rate.name, over] = add_rate(rows, plan, rate, over, family, rate_names)
                    rows.add(ENTRY_FAMILY=family_row, ENTRY_TIMING=_timing(rows, version, timing, labels["band"]),
                             ENTRY_RATE_FIRST=rows.size("ENTRY_RATE"), ENTRY_COUNTER_FIRST=rows.size("ENTRY_COUNTER"))
                    rows.vectors["ENTRY_RATE"] += [rate_rows[rate.name, over] for rate in bands.values()]
                    rows.vectors["ENTRY_COUNTER"] += terms.counters(counter_bits)
                    entry_plus_one[block][cells] = rows.size("ENTRY_FAMILY")
    return entry_plus_one | sets << 32


def _timing(rows: Rows, version: TariffVersion, name: str, bands: list[str]) -> int:
    key = ("timing", version.name if name else "", name)
    if key not in rows.seen:
        rows.seen[key] = rows.size("TIMING_ZONE")
        rows.add(TIMING_FIRST=rows.size("SEGMENT_START"), TIMING_ZONE=_time_zone(rows, version.time_zone))
        segments = version.timings[name].segments if name else ((0, ALL_DAY),)
        places = list(version.timings[name].bands) if name else [ALL_DAY]
        for start, band in segments:
            rows.add(SEGMENT_START=start, SEGMENT_BAND=bands.index(band), SEGMENT_PLACE=places.index(band))
    return rows.seen[key]


def _time_zone(rows: Rows, name: str) -> int:
    if ("zone", name) not in rows.seen:
        rows.seen["zone", name] = rows.size("ZONE_FIRST")
        rows.add(ZONE_FIRST=rows.size("ZONE_AT"))
        for at, offset in zip(*zone_offsets(name), strict=True):
            rows.add(ZONE_AT=at, ZONE_OFFSET=offset)
    return rows.seen["zone", name]


def _allowance_sets(rows: Rows, version: TariffVersion, plan: Plan, axes: Axes) -> I64:
    """Set row of each cell. A set is a list of definitions in the order of use; set 0 is the empty one."""
    mask = np.zeros(axes.shape, np.int64)  # bit p: the p-th allowance in order of use
    order = allowance_cells(version, plan, axes)
    if len(order) > 30:
        raise refuse(version.file, plan.line, f"plan {plan.name!r} has {len(order)} allowances", "at most 30")
    definitions = []
    for place, (number, cells) in enumerate(order):
        mask[cells] |= 1 << place
        allowance = plan.allowances[number]
        rows.seen["name", plan.name, allowance.name, int(allowance.unit), allowance.cycle] = 0
        definitions.append(rows.size("DEFINITION_KEY"))
        rows.add(DEFINITION_KEY=definition_key(plan.name, allowance), DEFINITION_AMOUNT=allowance.amount,
                 DEFINITION_STEP=allowance.step)
    sets = np.zeros(axes.shape, np.int64)
    for bits in sorted(set(mask.ravel().tolist()) - {0}):
        members = tuple(d for place, d in enumerate(definitions) if bits >> place & 1)
        rows.add(SET_FIRST=rows.size("SET_DEFINITION"))
        rows.vectors["SET_DEFINITION"] += members
        sets[mask == bits] = rows.size("SET_FIRST") - 1
    return sets


__all__ = ["UNKNOWN", "Tariffs", "check_tariff", "compile_versions", "definition_key", "load_tariffs", "stable_key"]
