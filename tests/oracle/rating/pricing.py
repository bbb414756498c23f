"""The price of a session, step by step: where it stands, what each step costs, who has the units."""

from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracle.rating.amounts import SECOND_US, amount, convert, true, units
from tests.oracle.rating.selecting import FREE, FREE_RATE, rates_of
from tests.oracle.rating.timings import band_at

NEVER = 10**30  # a position that no usage reaches: where the last flat slot ends


@dataclass
class Price:
    """What was added up under one set of terms: of a session, or of a counter's cycle."""

    terms: tuple
    cost: Fraction = Fraction(0)          # of steps, fees and own prices of buckets
    volume: tuple = (0, Fraction(0))      # units under a volume rate, and the price of each
    minimum: Fraction = Fraction(0)
    maximum: Fraction | None = None
    begun: bool = False                   # its first unit has been seen
    reached: int | None = None            # position at which the maximum was reached, where that disconnects
    disconnects: bool = False
    exact: Fraction = Fraction(0)         # price of the reports so far
    charged: Fraction = Fraction(0)
    taxed: Fraction = Fraction(0)
    paid: int = 0                         # position billed up to; used for prices over a counter only

    def usage_price(self):
        """Steps, fees and own prices of buckets; what paid anything costs at least the minimum."""
        price = self.cost + self.volume[0] * self.volume[1]
        return max(price, self.minimum) if price > 0 else price

    def capped(self):
        """Whether the maximum has made the rest free."""
        return self.maximum is not None and self.usage_price() >= self.maximum

    def after(self, chain, tax_factor):
        """The exact price: minimum, maximum, discounts in their order, tax."""
        price = self.usage_price()
        if self.maximum is not None:
            price = min(price, self.maximum)
        for percent, cap, fixed in chain:
            off = price * percent / 100 if fixed is None else fixed
            price -= min(price, off if cap is None else min(off, cap))
        return price * tax_factor


@dataclass
class Session:
    """What reports of one session share."""

    time: int
    began: int
    position: int = 0
    paid: int = 0
    least: int = 0
    begun: bool = False
    connected: bool = False
    price: Price = field(default_factory=lambda: Price(()))


@dataclass
class Walk:
    """One report under a price."""

    covered: int = 0
    connect: Fraction = Fraction(0)
    payable: Fraction | None = None       # the exact price before a bucket blocked the rest
    reached: int = 0                      # position billed up to


class Tape:
    """What each position of a report costs: the rate of its moment, the slot of its place."""

    def __init__(self, oracle, choice, happy, event, session, before):
        self.oracle, self.choice, self.happy, self.event, self.before = oracle, choice, happy, event, before
        self.version, self.us = choice.version, event["time_us"]
        self.straddling = rates_of(self.version, choice.rule)[0].get("straddling", "begin")
        self.began = session.began
        self.places = {}  # (rate, what happy hours leave) -> its slots, so that they are read once a report

    def moment(self, at):
        """When the unit at a position is used: seconds follow each other, other units have the report's time."""
        return self.us + (at - self.before) * SECOND_US if self.choice.unit == "second" else self.us

    def band(self, timing, us):
        """The band of a timing; looked up once for each second."""
        key = (self.version["version"], timing, us // SECOND_US)
        if key not in self.oracle.bands:
            self.oracle.bands[key] = band_at(self.version, timing, us)
        return self.oracle.bands[key]

    def rate(self, at):
        """(rate, what happy hours leave of its prices) of the unit at a position."""
        us, rule = self.began if self.straddling == "session_start" else self.moment(at), self.choice.rule
        if rule is FREE:
            rate = FREE_RATE
        elif "timing" in rule:
            rate = self.version["rates"][rule["rates"][self.band(rule["timing"], us)]]
        else:
            rate = self.version["rates"][rule["rate"]]
        left = Fraction(1)
        for discount in self.happy:
            if self.band(discount["timing"], us) in discount["bands"]:
                left *= 1 - amount(discount["percent"]) / 100
        return rate, left

    def money(self, rate, value):
        """An amount of a rate, in the plan's currency."""
        return amount(value) and convert(self.version, amount(value), rate.get("currency", self.version["currency"]),
                       self.choice.currency, self.us)

    def slot(self, at):
        """(price of a unit or of the flat slot, step, position of the slot's end, whether flat) at a position."""
        rate, left = self.rate(at)
        key = (id(rate), left)
        if key not in self.places:
            self.places[key] = self.slots(rate, left)
        return next(slot[1:] for slot in reversed(self.places[key]) if slot[0] <= at)

    def slots(self, rate, left):
        """(first position, and what `slot` says) of each slot, ascending."""
        # What is free has no steps. Seconds each have their band; other units of a report have one, and go at once.
        free = units(rate.get("free_quantity", 0))
        leap = 1 if self.choice.unit == "second" else NEVER
        if true(rate.get("free")):
            return [(0, Fraction(0), leap, NEVER, False)]
        found = [(0, Fraction(0), min(leap, free), free, False)] if free else []
        starts = [*(free + units(slot.get("from", 0)) for slot in rate["slots"]), NEVER]
        for slot, start, end in zip(rate["slots"], starts, starts[1:], strict=False):
            if "flat" in slot:
                found.append((start, left * self.money(rate, slot["flat"]), 1, end, True))
            else:
                found.append((start, left * self.money(rate, slot["price"]) / units(slot.get("per", 1)),
                              units(slot.get("step", 1)), end, False))
        return found


def own_price(tape, definition):
    """What a unit that a bucket covers costs."""
    return tape.money(definition, definition.get("price", 0)) / units(definition.get("per", 1))


def walk(tape, price, session, groups, start, total, over, exact):
    """Bill a report from where the last ended. groups: buckets in the order of use. exact(): the price so far."""
    done, at, target = Walk(), start, total
    while at < target:
        rate, left = tape.rate(at)
        if not price.begun:
            price.begun = True
            if "maximum_charge" in rate:
                price.maximum = tape.money(rate, rate["maximum_charge"])
                price.disconnects = rate.get("at_maximum") == "disconnect"
        if not session.begun:
            session.begun = True
            # That of the very first unit, also when a price over a counter had billed it before.
            session.least = units(rate.get("minimum_quantity", 0)) if session.position == 0 else 0
        if not over:
            target = max(total, session.least)
            if at >= target:
                break
        cost, step, end, flat = tape.slot(at)
        if cost > 0 and done.payable is None and not price.capped():
            pot, blocked = next_pot(groups, tape.moment(at))
            if pot:
                taken = pot.take()
                price.cost += taken * own_price(tape, pot.definition)
                done.covered += taken
                at += taken
                note_maximum(price, at)
                continue
            if blocked:
                done.payable = exact()
        if not session.connected:
            session.connected = True
            done.connect = left * tape.money(rate, rate.get("connect_fee", 0))
            price.cost += done.connect
        price.minimum = max(price.minimum, tape.money(rate, rate.get("minimum_charge", 0)))
        if rate.get("tiers") == "volume" and at >= units(rate.get("free_quantity", 0)):
            price.volume = (price.volume[0] + step, cost)
            at += step
        elif flat:
            price.cost += cost
            at = end
        elif step == NEVER or end <= units(rate.get("free_quantity", 0)):
            note_maximum(price, at + 1)  # its first unit may bring the connect fee
            at = min(at + step, end, target)
        elif tape.straddling == "split":
            at = split_step(tape, price, at, step)
        else:
            price.cost += cost * step
            at += step
        note_maximum(price, at)
    done.reached = at
    return done


def split_step(tape, price, at, step):
    """A step whose parts cost what their own slots and bands say. Returns where it ends."""
    stop = at + step
    while at < stop:
        cost, _, end, flat = tape.slot(at)
        if flat:
            price.cost += cost
            return end
        # Seconds lie in bands of their own; other units have one moment, and differ by slot only.
        part = 1 if tape.choice.unit == "second" else min(end, stop) - at
        price.cost += cost * part
        at += part
    return at


def note_maximum(price, at):
    """Where the maximum was reached; in a flat slot without an end there is no such place."""
    if price.disconnects and price.reached is None and at < NEVER:
        price.reached = at if price.capped() else None


def next_pot(groups, moment):
    """(the bucket that has the next unit, or None; whether one that blocks is used up instead)."""
    for group in groups:
        live = [pot for pot in group if pot.in_band(moment)]
        for pot in live:
            if pot.available() > 0:
                return pot, False
        if live and true(live[0].definition.get("blocking")):
            return None, True
    return None, False
