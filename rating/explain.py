"""Why a rated row costs what it costs: its slots, bands and rounding, recomputed in plain Python from the tables.

A second hand on the same compiled tariff: it checks the kernel's charge and says so, rather than repeating it.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from reference_data.tariffs.compile import Tariffs
from schemas.codes import RatingStatus, Unit
from schemas.money import NANOS, Rounding, format_money, round_ratio
from schemas.tariff_tables import BUCKET_DAY_BITS, INDEX
from schemas.timepoint import SECOND_US, WEEK_S, format_time

_MONDAY_S = 3 * 86_400


class _Tables:
    """The tariff's vectors by name."""

    def __init__(self, tariffs: Tariffs) -> None:
        self._tables = tariffs.tables

    def get(self, name: str, row: int) -> int:
        return int(self._tables[INDEX[name]][row])

    def span(self, name: str, first: int, stop: int) -> list[int]:
        values: list[int] = self._tables[INDEX[name]][first:stop].tolist()
        return values


def explain_rated(row: Mapping[str, int], tariffs: Tariffs,
                  consumed: Sequence[tuple[int, int]] | None = None) -> dict[str, Any]:
    """Recompute one rated row (column name to cell, labels as indices into `tariffs.labels`).

    consumed: (bucket_id, units) of the movement's allowance postings in their order; without them the row's
    `allowance_quantity` is taken as one bucket. Returns version, plan, zone, bands, each piece of the walk with its
    slot and exact price, the rounding, and `agrees`: whether the recomputed charge is the row's. A session whose
    earlier reports met a higher minimum charge than this one shows `agrees` false with `minimum` as its reason.
    """
    tables = _Tables(tariffs)
    version = tariffs.versions[row["tariff_version"]]
    plan = version.plans[tariffs.labels["plan"][row["plan"]]]
    entries = _entries(tables, row["rate_row"])
    keys = tariffs.tables[INDEX["DEFINITION_KEY"]].tolist()
    steps = {key >> BUCKET_DAY_BITS: tables.get("DEFINITION_STEP", i) for i, key in enumerate(keys)}
    purse = [[steps.get(bucket >> BUCKET_DAY_BITS, 1), units] for bucket, units in (
        consumed if consumed is not None else [(row["bucket_id"], row["allowance_quantity"])]) if units > 0]
    best: dict[str, Any] = {}
    for entry in entries:  # usually one; rules that share a rate differ in their timing
        found = _walk(tables, tariffs, entry, row, [list(p) for p in purse])
        if not best or found["agrees"]:
            best = found
        if found["agrees"]:
            break
    return {
        "tariff_version": version.name, "active_from": format_time(version.active_from_us), "plan": plan.name,
        "zone": tariffs.labels["zone"][row["zone"]], "band": tariffs.labels["band"][row["band"]],
        "rate": tariffs.rate_names[row["rate_row"]], "quantity": row["quantity"],
        "unit": Unit(row["unit"]).name.lower(),
        "session_quantity_before": row["session_quantity_before"],
        "allowance_quantity": row["allowance_quantity"], "status": RatingStatus(row["status"]).name.lower(),
        "charge": format_money(row["charge_nanos"]), "uncollected": format_money(row["uncollected_nanos"]), **best}


def _entries(tables: _Tables, rate_row: int) -> list[int]:
    """Entries that use a rate row."""
    found: list[int] = []
    entry = 0
    while True:
        try:
            first, stop = tables.get("ENTRY_RATE_FIRST", entry), tables.get("ENTRY_RATE_FIRST", entry + 1)
        except IndexError:
            return found
        if rate_row in tables.span("ENTRY_RATE", first, stop):
            found.append(entry)
        entry += 1


def _band(tables: _Tables, timing: int, time_us: int) -> tuple[int, int, int | None]:
    """(place, band label, microseconds until it may change)."""
    first, stop = tables.get("TIMING_FIRST", timing), tables.get("TIMING_FIRST", timing + 1)
    if stop - first == 1:
        return tables.get("SEGMENT_PLACE", first), tables.get("SEGMENT_BAND", first), None
    zone = tables.get("TIMING_ZONE", timing)
    zone_first, zone_stop = tables.get("ZONE_FIRST", zone), tables.get("ZONE_FIRST", zone + 1)
    changes = tables.span("ZONE_AT", zone_first, zone_stop)
    second = time_us // SECOND_US
    at = bisect_right(changes, second) - 1
    place = (second + tables.get("ZONE_OFFSET", zone_first + at) + _MONDAY_S) % WEEK_S
    starts = tables.span("SEGMENT_START", first, stop)
    segment = bisect_right(starts, place) - 1
    until = second + (starts[segment + 1] if segment + 1 < len(starts) else WEEK_S) - place
    if at + 1 < len(changes):
        until = min(until, changes[at + 1])
    return (tables.get("SEGMENT_PLACE", first + segment), tables.get("SEGMENT_BAND", first + segment),
            until * SECOND_US - time_us)


def _walk(tables: _Tables, tariffs: Tariffs, entry: int, row: Mapping[str, int],
          purse: list[list[int]]) -> dict[str, Any]:
    family, timing = tables.get("ENTRY_FAMILY", entry), tables.get("ENTRY_TIMING", entry)
    rates = tables.get("ENTRY_RATE_FIRST", entry)
    denominator, quantum = tables.get("FAMILY_DENOMINATOR", family), tables.get("FAMILY_QUANTUM", family)
    rule = Rounding(tables.get("FAMILY_RULE", family))
    paid, numerator = row["session_billed_before"], row["session_numerator_before"]
    before, total = row["session_quantity_before"], row["session_quantity_before"] + row["quantity"]
    minimum, connect, pieces = 0, row["connect_fee_nanos"] * denominator, []
    numerator += connect
    while paid < total:
        moment = row["event_time_us"]
        if row["unit"] == Unit.SECOND:
            moment += (paid - before) * SECOND_US
        place, band, left_us = _band(tables, timing, moment)
        limit = total
        if left_us is not None and row["unit"] == Unit.SECOND:
            limit = min(limit, paid + -(-left_us // SECOND_US))
        rate = tables.get("ENTRY_RATE", rates + place)
        slot, last = tables.get("RATE_SLOT_FIRST", rate), tables.get("RATE_SLOT_FIRST", rate + 1)
        starts = tables.span("SLOT_FROM", slot, last)
        slot += bisect_right(starts, paid) - 1
        if slot + 1 < last:
            limit = min(limit, tables.get("SLOT_FROM", slot + 1))
        price, step = tables.get("SLOT_PRICE", slot), tables.get("SLOT_STEP", slot)
        piece = {"from": paid, "band": tariffs.labels["band"][band], "rate": tariffs.rate_names[rate]}
        if price > 0 and purse:
            units = min(-(-(limit - paid) // purse[0][0]) * purse[0][0], purse[0][1])
            purse[0][1] -= units
            if not purse[0][1]:
                purse.pop(0)
            paid += units
            pieces.append({**piece, "allowance_units": units})
            continue
        steps = -(-(limit - paid) // step)
        paid += steps * step
        numerator += steps * price
        minimum = max(minimum, tables.get("RATE_MINIMUM", rate))
        pieces.append({**piece, "step": step, "steps": steps, "price_of_step": _exact(price, denominator),
                       "cost": _exact(steps * price, denominator)})
    rounded = round_ratio(max(numerator, minimum), denominator * quantum, rule) * quantum
    due = rounded - row["session_charged_before_nanos"]
    return {"connect_fee": format_money(row["connect_fee_nanos"]), "pieces": pieces,
            "minimum": _exact(minimum, denominator), "session_exact": _exact(numerator, denominator),
            "rounding": f"{rule.name.lower()} to {format_money(quantum)}, once per session",
            "session_price": format_money(rounded), "charged_before": format_money(row["session_charged_before_nanos"]),
            "due": format_money(due), "agrees": due == row["charge_nanos"]}


def _exact(numerator: int, denominator: int) -> str:
    """An amount as decimal text when it is one, else as a fraction in lowest terms."""
    nanos, rest = divmod(numerator, denominator)
    return format_money(nanos) if rest == 0 else str(Fraction(numerator, denominator * NANOS))
