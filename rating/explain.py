"""Why a rated row costs what it costs: its slots, bands and rounding, recomputed in plain Python from the tables.

A second hand on the same compiled tariff: it checks the kernel's charge and says so, rather than repeating it.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from reference_data.tariffs.compile import Tariffs
from schemas.codes import RatingStatus, Unit
from schemas.columns import ABSENT
from schemas.money import NANOS, Rounding, format_money, round_ratio
from schemas.tariff_tables import (
    BUCKET_UNIT_SHIFT,
    F_SESSION_START,
    F_SPLIT,
    F_VOLUME,
    FIRST_DAY,
    FLAT_STEP,
    INDEX,
    LAST_DAY,
    SCOPE_DAY,
    SCOPE_REPORT,
    SCOPE_SESSION,
)
from schemas.timepoint import DAY_S, SECOND_US, WEEK_S, format_time

_MONDAY_S = 3 * 86_400
_NAME_SHIFT = BUCKET_UNIT_SHIFT + 3  # a bucket's id above it is the hash of its plan and name


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
    slot and exact price, discounts, rounding and tax, and `agrees`: whether the recomputed charge is the row's.
    """
    tables = _Tables(tariffs)
    version = tariffs.versions[row["tariff_version"]]
    plan = version.plans[tariffs.labels["plan"][row["plan"]]]
    entries = _entries(tables, row["rate_row"])
    keys = tariffs.tables[INDEX["DEFINITION_KEY"]].tolist()
    # Step, and own price as nanos per so many units; rests that rolled over have the same name in their ids.
    terms = {key >> _NAME_SHIFT: [tables.get(f"DEFINITION_{name}", i) for name in ("STEP", "PRICE", "PER")]
             for i, key in enumerate(keys)}
    purse = []
    for bucket, units in (consumed if consumed is not None else [(row["bucket_id"], row["allowance_quantity"])]):
        if units > 0:
            step, own_price, per = terms.get(bucket >> _NAME_SHIFT, [1, 0, 1])
            purse.append((step, units, Fraction(own_price, per)))
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
    local, days = second + tables.get("ZONE_OFFSET", zone_first + at), tables.get("TIMING_DAYS", timing)
    place, whole = (local + _MONDAY_S) % WEEK_S, WEEK_S
    if days >= 0:  # bands of dates: each day has a profile of its own
        day, place, whole = local // DAY_S, local % DAY_S, DAY_S
        profile = tables.get("DAY_PROFILE", days + min(max(day, FIRST_DAY), LAST_DAY - 1) - FIRST_DAY)
        first, stop = tables.get("PROFILE_FIRST", profile), tables.get("PROFILE_FIRST", profile + 1)
    starts = tables.span("SEGMENT_START", first, stop)
    segment = bisect_right(starts, place) - 1
    until = second + (starts[segment + 1] if segment + 1 < len(starts) else whole) - place
    if at + 1 < len(changes):
        until = min(until, changes[at + 1])
    return (tables.get("SEGMENT_PLACE", first + segment), tables.get("SEGMENT_BAND", first + segment),
            until * SECOND_US - time_us)


def _walk(tables: _Tables, tariffs: Tariffs, entry: int, row: Mapping[str, int],
          purse: list[list[Any]]) -> dict[str, Any]:
    """The walk and what it comes to, from what the row says of the price before it."""
    family = tables.get("ENTRY_FAMILY", entry)
    denominator = _denominator(tables, family)
    before = row["session_quantity_before"] if row["counter_before"] == ABSENT else row["counter_before"]
    price = _Price(
        paid=row["session_billed_before"], numerator=row["session_numerator_before"],
        steps=_known(row, "tier_steps_before"), minimum=_known(row, "session_minimum_before"),
        maximum=None if row["session_maximum"] == ABSENT else row["session_maximum"])
    exact_before = _settle(tables, family, price)[0]
    price.numerator += int(row["connect_fee_nanos"] * denominator)
    if _form(tables, entry) & F_VOLUME:
        pieces = _volume(tables, tariffs, entry, row, before, price)
    else:
        share = Fraction(tables.get("FAMILY_OWN_NUMERATOR", family), tables.get("FAMILY_OWN_DENOMINATOR", family))
        pieces = _steps(tables, tariffs, entry, row, [[step, units, share * own] for step, units, own in purse], before,
                        price)
    exact, discounts = _settle(tables, family, price)
    rounded, due, scope = _round(tables, family, row, exact, exact_before)
    said: dict[str, Any] = {"connect_fee": format_money(row["connect_fee_nanos"]), "pieces": pieces,
                            "minimum": _exact(price.minimum, denominator)}
    if price.maximum is not None:
        said["maximum"] = _exact(price.maximum, denominator)
    said["usage_price"] = _exact(price.numerator, denominator)
    if discounts:
        said["discounts"] = discounts
    quantum, rule = tables.get("FAMILY_QUANTUM", family), Rounding(tables.get("FAMILY_RULE", family))
    said |= {"session_exact": _exact(exact, denominator),
             "rounding": f"{rule.name.lower()} to {format_money(quantum)}, once per {scope}",
             "session_price": format_money(rounded),
             "charged_before": format_money(row["session_charged_before_nanos"]), "due": format_money(due)}
    agrees = due == row["charge_nanos"]
    if tables.get("FAMILY_TAX_NUMERATOR", family):
        before_nanos = row["session_charged_before_nanos"]
        tax = _tax(tables, family, rounded) - _tax(tables, family, before_nanos)
        said["tax"] = format_money(tax)
        agrees = agrees and tax == row["tax_nanos"]
    return said | {"agrees": agrees}


@dataclass
class _Price:
    """A price so far, over the family's denominator."""

    paid: int
    numerator: int
    steps: int
    minimum: int
    maximum: int | None

    def usage(self) -> int:
        """At least the minimum, where anything is to pay."""
        return max(self.numerator, self.minimum) if self.numerator > 0 else self.numerator


def _known(row: Mapping[str, int], name: str) -> int:
    return max(row[name], 0)


def _form(tables: _Tables, entry: int) -> int:
    return tables.get("RATE_FORM", tables.get("ENTRY_RATE", tables.get("ENTRY_RATE_FIRST", entry)))


def _quantity(tables: _Tables, entry: int, row: Mapping[str, int]) -> int:
    """What this report brought, in the unit of its price: messages may be priced by their segments."""
    by_segment = tables.get("FAMILY_UNIT", tables.get("ENTRY_FAMILY", entry)) == Unit.SEGMENT
    return row["segments"] if by_segment and row["segments"] != ABSENT else row["quantity"]


@dataclass(frozen=True)
class _Region:
    """Where one rate and slot hold: until which position, and until where the slot alone would."""

    band: str
    rate: int
    slot: int
    edge: int
    slot_end: int


def _region(tables: _Tables, tariffs: Tariffs, entry: int, row: Mapping[str, int], before: int,
            position: int) -> _Region:
    form = _form(tables, entry)
    moving = row["unit"] == Unit.SECOND and not form & F_SESSION_START
    moment = row["session_began_us"] if form & F_SESSION_START else row["event_time_us"]
    if moving:
        moment += (position - before) * SECOND_US
    place, band, left_us = _band(tables, tables.get("ENTRY_TIMING", entry), moment)
    rate = tables.get("ENTRY_RATE", tables.get("ENTRY_RATE_FIRST", entry) + place)
    first, last = tables.get("RATE_SLOT_FIRST", rate), tables.get("RATE_SLOT_FIRST", rate + 1)
    slot = first + bisect_right(tables.span("SLOT_FROM", first, last), position) - 1
    slot_end = tables.get("SLOT_FROM", slot + 1) if slot + 1 < last else FLAT_STEP
    edge = slot_end if left_us is None or not moving else min(slot_end, position + -(-left_us // SECOND_US))
    return _Region(tariffs.labels["band"][band], rate, slot, edge, slot_end)


def _begin(tables: _Tables, rate: int, price: _Price, total: int) -> int:
    """The position to walk to: a session that begins is billed at least its minimum quantity."""
    return max(total, tables.get("RATE_MINIMUM_QUANTITY", rate)) if price.paid == 0 else total


def _steps(tables: _Tables, tariffs: Tariffs, entry: int, row: Mapping[str, int], purse: list[list[Any]], before: int,
           price: _Price) -> list[dict[str, Any]]:
    """Pieces of graduated slots."""
    total, pieces = before + _quantity(tables, entry, row), []
    denominator = _denominator(tables, tables.get("ENTRY_FAMILY", entry))
    if price.paid < total:
        total = _begin(tables, _region(tables, tariffs, entry, row, before, price.paid).rate, price, total)
    while price.paid < total:
        region = _region(tables, tariffs, entry, row, before, price.paid)
        limit = min(total, region.edge)
        cost, step = tables.get("SLOT_PRICE", region.slot), tables.get("SLOT_STEP", region.slot)
        piece: dict[str, Any] = {"from": price.paid, "band": region.band, "rate": tariffs.rate_names[region.rate]}
        at_maximum = price.maximum is not None and price.usage() >= price.maximum
        if cost > 0 and purse and not at_maximum:
            units = min(-(-(limit - price.paid) // purse[0][0]) * purse[0][0], purse[0][1])
            own = int(denominator * purse[0][2] * units)
            purse[0][1] -= units
            if not purse[0][1]:
                purse.pop(0)
            price.paid += units
            price.numerator += own
            pieces.append({**piece, "allowance_units": units, **({"cost": _exact(own, denominator)} if own else {})})
            continue
        price.minimum = max(price.minimum, tables.get("RATE_MINIMUM", region.rate))
        if tables.get("SLOT_FLAT", region.slot):
            price.paid, price.numerator = region.slot_end, price.numerator + cost
            pieces.append({**piece, "flat": _exact(cost, denominator), "cost": _exact(cost, denominator)})
            continue
        steps = -(-(limit - price.paid) // step)
        split = bool(_form(tables, entry) & F_SPLIT) and price.paid + steps * step > region.edge
        steps -= split
        if steps:
            pieces.append({**piece, "step": step, "steps": steps, "price_of_step": _exact(cost, denominator),
                           "cost": _exact(steps * cost, denominator)})
        price.paid += steps * step
        price.numerator += steps * cost
        stop = price.paid + step if split else price.paid
        while price.paid < stop:
            part = _region(tables, tariffs, entry, row, before, price.paid)
            units, by_unit = min(part.edge, stop) - price.paid, tables.get("SLOT_UNIT_PRICE", part.slot)
            pieces.append({"from": price.paid, "band": part.band, "rate": tariffs.rate_names[part.rate],
                           "units_of_split_step": units, "price_of_unit": _exact(by_unit, denominator),
                           "cost": _exact(units * by_unit, denominator)})
            price.paid += units
            price.numerator += units * by_unit
    return pieces


def _volume(tables: _Tables, tariffs: Tariffs, entry: int, row: Mapping[str, int], before: int,
            price: _Price) -> list[dict[str, Any]]:
    """The one piece of volume tiers: every step so far at the price of the slot where the last one begins."""
    total = before + _quantity(tables, entry, row)
    region = _region(tables, tariffs, entry, row, before, price.paid)
    denominator = _denominator(tables, tables.get("ENTRY_FAMILY", entry))
    first, last = tables.get("RATE_SLOT_FIRST", region.rate), tables.get("RATE_SLOT_FIRST", region.rate + 1)
    starts, step = tables.span("SLOT_FROM", first, last), tables.get("SLOT_STEP", first)

    def tier(steps: int, paid: int) -> int:
        slot = first + bisect_right(starts, paid - step) - 1
        return steps * tables.get("SLOT_PRICE", slot) if steps else 0

    if price.paid >= total:
        return []
    total = _begin(tables, region.rate, price, total)
    price.minimum = max(price.minimum, tables.get("RATE_MINIMUM", region.rate))
    price.numerator -= tier(price.steps, price.paid)
    more = -(-(total - price.paid) // step)
    price.paid, price.steps = price.paid + more * step, price.steps + more
    cost = tier(price.steps, price.paid)
    price.numerator += cost
    return [{"from": 0, "band": region.band, "rate": tariffs.rate_names[region.rate], "step": step,
             "steps": price.steps, "price_of_step": _exact(cost // price.steps, denominator),
             "cost": _exact(cost, denominator)}]


def _settle(tables: _Tables, family: int, price: _Price) -> tuple[int, list[dict[str, str]]]:
    """(exact price, what each discount took)."""
    exact = price.usage()
    if price.maximum is not None:
        exact = min(exact, price.maximum)
    denominator, discounts = _denominator(tables, family), []
    for d in range(tables.get("FAMILY_DISCOUNT_FIRST", family), tables.get("FAMILY_DISCOUNT_FIRST", family + 1)):
        share, of = tables.get("DISCOUNT_NUMERATOR", d), tables.get("DISCOUNT_DENOMINATOR", d)
        taken = min(exact * share // of + tables.get("DISCOUNT_AMOUNT", d), tables.get("DISCOUNT_CAP", d), exact)
        exact -= taken
        discounts.append({"share": f"{share}/{of}" if share else "amount", "taken": _exact(taken, denominator)})
    return exact, discounts


def _round(tables: _Tables, family: int, row: Mapping[str, int], exact: int, before: int) -> tuple[int, int, str]:
    """(rounded price of what is rounded once, what this report owes, what that is)."""
    quantum = tables.get("FAMILY_QUANTUM", family)
    scope = SCOPE_SESSION if row["counter_before"] != ABSENT else tables.get("FAMILY_SCOPE", family)
    if scope == SCOPE_DAY and row["scope_numerator_before"] == ABSENT:
        scope = SCOPE_REPORT  # a day long over
    if scope == SCOPE_REPORT:
        exact -= before
    elif scope == SCOPE_DAY:
        exact += row["scope_numerator_before"] - before
    rule = Rounding(tables.get("FAMILY_RULE", family))
    sign = -1 if exact < 0 else 1
    nanos = Fraction(abs(exact)) / _denominator(tables, family)
    rounded = sign * round_ratio(nanos.numerator, nanos.denominator * quantum, rule) * quantum
    name = "cycle" if row["counter_before"] != ABSENT else ("session", "report", "day")[scope]
    return rounded, rounded - row["session_charged_before_nanos"], name


def _tax(tables: _Tables, family: int, gross: int) -> int:
    """The tax in an amount."""
    quantum, of = tables.get("FAMILY_QUANTUM", family), tables.get("FAMILY_TAX_DENOMINATOR", family)
    share = abs(gross) * tables.get("FAMILY_TAX_NUMERATOR", family)
    tax = round_ratio(share, of * quantum, Rounding(tables.get("FAMILY_RULE", family))) * quantum
    return tax if gross >= 0 else -tax


def _denominator(tables: _Tables, family: int) -> Fraction:
    """Numerators of one nano."""
    return Fraction(tables.get("FAMILY_DENOMINATOR", family), tables.get("FAMILY_MULTIPLE", family))


def _exact(numerator: int, denominator: Fraction) -> str:
    """An amount as decimal text when it is one, else as a fraction in lowest terms."""
    nanos, rest = divmod(numerator, denominator)
    return format_money(nanos) if rest == 0 else str(Fraction(numerator, denominator * NANOS))
