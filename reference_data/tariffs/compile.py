"""Versions to tables: immutable int64 vectors in the layout of `schemas.tariff_tables`, with a content hash."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reference_data.prefix_trie import PrefixForest, PrefixTrie
from reference_data.tariffs.cells import Axes, axes_of, priced_kinds
from reference_data.tariffs.check import check_version
from reference_data.tariffs.epochs import epochs_of, signature
from reference_data.tariffs.model import NEVER_US, UNKNOWN, UNKNOWN_NETWORK, DataClass, TariffVersion
from reference_data.tariffs.parse import read_version
from reference_data.tariffs.plans import Compiling, PlanRows
from reference_data.tariffs.rollover import Rolls, rolls_of
from reference_data.tariffs.rows import ALL_DAY, Rows, definition_key, stable_key
from reference_data.tariffs.source import refuse
from schemas.columns import I64
from schemas.errors import ReferenceDataError
from schemas.tariff_tables import NAMES
from schemas.vectors import Vectors

MAX_CELLS = 1 << 25
MAX_CLASS_ROWS = 10_000


@dataclass(frozen=True)
class Tariffs:
    """All versions, compiled. `tables` is what kernels take; `labels` name what their results index.

    slots (s,) int32 and leaves (n,) int64: the prefix forest of the decks. apns: names that CLASS_APN indexes.
    networks: own ones that VERSION_OWN indexes. categories: at place 1 on of their dimension.
    """

    versions: tuple[TariffVersion, ...]
    tables: Vectors
    slots: npt.NDArray[np.int32]
    leaves: I64
    labels: dict[str, list[str]]
    apns: tuple[str, ...]
    rate_names: tuple[str, ...]
    content_hash: str
    networks: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @cached_property
    def rolls(self) -> Rolls:
        """Allowances that roll over in some version, for kernels: see `rolls_of`."""
        return rolls_of(self.versions, self.labels["plan"], self.labels["currency"])

    def version_at(self, time_us: int) -> TariffVersion | None:
        """The version in force at an instant, us UTC; None before the first."""
        return next((version for version in reversed(self.versions) if version.active_from_us <= time_us), None)


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


def compile_versions(versions: list[TariffVersion]) -> Tariffs:
    """Raises ReferenceDataError on two versions with one activation time and on all that a plan can get wrong."""
    versions = sorted(versions, key=lambda v: v.active_from_us)
    for before, after in pairwise(versions):
        if before.active_from_us == after.active_from_us:
            raise ReferenceDataError(f"versions {before.name!r} and {after.name!r} come into force at the same time",
                                     "one version at a time", "change active_from of one")
    for version in versions:
        check_version(version)
    axes = axes_of(versions)
    shared = Compiling(axes, {
        "tariff_version": [v.name for v in versions],
        "plan": sorted({p for v in versions for p in v.plans}),
        "zone": [*axes.zones, *(f"roaming:{name}" for name in axes.roaming)],
        "band": [ALL_DAY, *sorted({b for v in versions for t in v.timings.values() for b in t.bands} - {ALL_DAY})],
        "currency": sorted({v.currency for v in versions} | {p.currency for v in versions for p in v.plans.values()
                                                             if p.currency}),
        "counter": sorted({c for v in versions for c in v.counters}),
    })
    rows, size = shared.rows, int(np.prod(axes.shape))
    if max(len(v.plans) for v in versions) * size > MAX_CELLS:
        raise ReferenceDataError(f"plans x services x scopes x roaming zones x zones come to "
                                 f"{max(len(v.plans) for v in versions) * size} cells", f"at most {MAX_CELLS}",
                                 "merge zones that cost the same")
    apns = sorted({a for v in versions for c in v.data_classes for a in c.apns or ()})
    networks = sorted({n for v in versions for n in v.own_networks})
    tries, deck_rows = _decks(versions, axes)
    forest = PrefixForest.stack(tries)
    rows.list_row("FULL_FIRST", "FULL_DEFINITION", ())
    rows.seen["set", (), ()] = rows.list_row("SET_FIRST", "SET_DEFINITION", ())
    for number, version in enumerate(versions):
        plan_rows: dict[tuple[object, ...], int] = {}
        until_us = versions[number + 1].active_from_us if number + 1 < len(versions) else NEVER_US
        for at_us in epochs_of(version, until_us):
            rows.add(VERSION_FROM=at_us, VERSION_LABEL=number)
            rows.vectors["VERSION_OWN"] += [int(name in version.own_networks) for name in networks]
            _networks(rows, version, axes)
            _classes(rows, version, axes, apns)
            for name in shared.labels["plan"]:
                if name not in version.plans:
                    rows.add(VERSION_PLAN=-1)
                    continue
                plan = version.plans[name]
                key = (name, *signature(version, plan, at_us))
                if key not in plan_rows:
                    plan_rows[key] = PlanRows(shared, version, plan, at_us).emit()
                    rows.add(PLAN_ROOT=int(forest.roots[deck_rows[number, plan.deck]]),
                             PLAN_CURRENCY=shared.labels["currency"].index(plan.currency or version.currency))
                rows.add(VERSION_PLAN=plan_rows[key])
    rows.close()
    arrays = {name: np.array(values, np.int64) for name, values in rows.vectors.items()}
    arrays["KIND"] = np.concatenate(shared.kinds)
    arrays["CELL"] = np.concatenate(shared.cells) if shared.cells else np.zeros(0, np.int64)
    if max(arrays["KIND"].size, arrays["CELL"].size) > MAX_CELLS:
        raise ReferenceDataError(f"prices come to {max(arrays['KIND'].size, arrays['CELL'].size)} cells",
                                 f"at most {MAX_CELLS}", "merge zones that cost the same, or retire old versions")
    arrays["PRICED"] = priced_kinds(versions)
    calling = {axes.zones[name]: place for place, name in enumerate(axes.calling, 1)}
    arrays["CALLING"] = np.array([calling.get(zone, 0) for zone in range(len(axes.zones))], np.int64)
    arrays["DIMS"] = np.array([len(shared.labels["plan"]), axes.kinds, len(axes.roaming), len(axes.zones),
                               *axes.lengths, len(networks)], np.int64)
    named: dict[int, object] = {}
    for made, value in rows.seen.items():
        if isinstance(made, tuple) and made[0] == "name" and named.setdefault(value, made) != made:
            raise ReferenceDataError("two allowances have the same 40-bit key", "distinct keys", "rename one of them")
    return _freeze(versions, arrays, forest, shared, apns, networks)


def _freeze(versions: list[TariffVersion], arrays: dict[str, I64], forest: PrefixForest, shared: Compiling,
            apns: list[str], networks: list[str]) -> Tariffs:
    tables = Vectors(arrays[name] for name in NAMES)
    named = apns, shared.rate_names, networks, list(shared.axes.categories), *named_legs(versions)
    return Tariffs(tuple(versions), tables, forest.slots, forest.leaves, shared.labels, tuple(apns),
                   tuple(shared.rate_names), content_hash(tables, forest.slots, forest.leaves, shared.labels, *named),
                   tuple(networks), shared.axes.categories)


def named_legs(versions: Sequence[TariffVersion]) -> list[object]:
    """Who is charged by legs, and how; nothing where no version has any. What they cover is in the tables."""
    legs = [[(leg.name, leg.account, sorted(leg.accounts.items()), leg.plan) for leg in v.legs] for v in versions]
    return [legs] if any(legs) else []


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
                raise refuse(version.file, 1, f"network {network!r} is in roaming zones {claimed[network]!r} and "
                             f"{zone!r}", "one of them", "remove the other under `roaming`")
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
        conditions = _conditions(item, apns)
        count = int(np.prod([len(values) for values in conditions]))
        if count > MAX_CLASS_ROWS:
            raise refuse(version.file, item.line, f"conditions of class {item.name!r} come to {count} combinations",
                         f"at most {MAX_CLASS_ROWS}", "split the class")
        category = -1 if item.category is None else \
            1 + axes.categories.index(item.category) if item.category in axes.categories else 0
        for group, apn, service_id, network_slice, rat, plmn in product(*conditions):
            more = (service_id, network_slice, rat, plmn, category) != (-1, -1, -1, -1, -1)
            rows.add(CLASS_GROUP=group, CLASS_APN=apn, CLASS_ZONE=axes.zones[item.name], CLASS_MORE=int(more),
                     CLASS_SERVICE_ID=service_id, CLASS_SLICE=network_slice, CLASS_RAT=rat, CLASS_PLMN=plmn,
                     CLASS_CATEGORY=category)


def _conditions(item: DataClass, apns: list[str]) -> tuple[list[int], ...]:
    """Values of each condition, -1 for any: what any one of them allows, combined with what the others do."""
    slices = [-2 - sst if sd is None else sst << 32 | sd + 1 for sst, sd in item.snssais or ()]
    plmns = [-1 if network == "*" else -2 - int(network) if len(network) == 3
             else int(network[:3]) * 1000 + int(network[3:]) for network in item.networks or ()]
    return (list(item.rating_groups or (-1,)), [apns.index(apn) for apn in item.apns or ()] or [-1],
            list(item.service_identifiers or (-1,)), slices or [-1], list(item.rats or (-1,)), plmns or [-1])


__all__ = ["UNKNOWN", "Tariffs", "check_tariff", "compile_versions", "definition_key", "load_tariffs", "stable_key"]
