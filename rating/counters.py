"""Counters of accounts, by name: let stand at a value, read after an event. They are rows of the book."""

from collections.abc import Iterable
from dataclasses import dataclass

from rating.book import NEVER_US, BalanceBook
from rating.kernels.cycles import COUNTER, row_key_nb
from rating.kernels.layout import B_SESSIONS, F_TRAITS, TRAIT_ZONE, X_HI, X_LO, X_PAID, X_POSITION, X_TIME
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.model import CYCLES
from schemas.codes import Unit
from schemas.cycles import cycle_start, next_cycle
from schemas.money import format_money
from schemas.tariff_tables import BUCKET_CYCLE_SHIFT, COUNTER_KEY, COUNTER_NAME
from schemas.timepoint import DAY_S, SECOND_US, local_midnight_us, local_offset_s


@dataclass(frozen=True)
class CounterKind:
    """A counter of the tariff: what its rows are keyed by, and what it counts (None: events)."""

    name: str
    key: int
    cycle: int
    unit: Unit | None

    def words(self, value: int) -> int | str:
        """A value as results show it: money as decimal text."""
        return format_money(value) if self.unit == Unit.MONEY else value


def counter_kinds(tariffs: Tariffs) -> dict[str, CounterKind]:
    """Every counter by its name; of one that versions declare differently, as the newest does."""
    unit_of = {name: counter.unit for version in tariffs.versions for name, counter in version.counters.items()}
    names = tariffs.labels.get("counter", [])
    keys = {names[name]: key for name, key in zip(tariffs.tables[COUNTER_NAME].tolist(),
                                                  tariffs.tables[COUNTER_KEY].tolist(), strict=True)}
    return {name: CounterKind(name, key, key >> BUCKET_CYCLE_SHIFT & 7, unit_of[name]) for name, key in keys.items()}


def cycle_end_us(book: BalanceBook, row: int, cycle: int, day: int) -> int:
    """Instant at which the account's cycle that begins on a day is over; NEVER_US for one that has no end."""
    if not cycle:
        return NEVER_US
    traits = int(book.profile[row, F_TRAITS])
    return local_midnight_us(book.time_zones[traits >> TRAIT_ZONE & 0xFFFF],
                             next_cycle(CYCLES[cycle], day, traits & 0xFF))


def cycle_day(book: BalanceBook, row: int, cycle: int, time_us: int) -> int:
    """First day of the account's cycle that holds an instant; 0 for one that has no end."""
    if not cycle:
        return 0
    traits = int(book.profile[row, F_TRAITS])
    zone = book.time_zones[traits >> TRAIT_ZONE & 0xFFFF]
    day = (time_us // SECOND_US + local_offset_s(zone, time_us)) // DAY_S
    return cycle_start(CYCLES[cycle], day, traits & 0xFF)


def read_counters(book: BalanceBook, row: int, kinds: Iterable[CounterKind], time_us: int
                  ) -> dict[tuple[str, int], int]:
    """Values of counters in the cycles of an instant, by name and first day; those that have counted something."""
    found = {}
    for kind in kinds:
        day = cycle_day(book, row, kind.cycle, time_us)
        place = _place(book, kind, int(book.account_ids[row]), day)
        if place >= 0:
            found[kind.name, day] = int(book.sessions[place, X_POSITION])
    return found


def set_counter(book: BalanceBook, row: int, kind: CounterKind, value: int, time_us: int) -> None:
    """Let a counter stand at a value in the cycle of an instant. Thresholds up to it count as notified."""
    book.make_room(1)
    day = cycle_day(book, row, kind.cycle, time_us)
    account = int(book.account_ids[row])
    place = _place(book, kind, account, day)
    if place < 0:
        place = ~place
        book.scalars[B_SESSIONS] += 1
        book.sessions[place, [X_HI, X_LO]] = row_key_nb(COUNTER, kind.key, account, day)
    book.sessions[place, [X_POSITION, X_PAID, X_TIME]] = (
        value, value, cycle_end_us(book, row, kind.cycle, day))


def has_counter(book: BalanceBook, row: int, kind: CounterKind, time_us: int) -> bool:
    """Whether a counter has counted anything in the cycle of an instant."""
    return _place(book, kind, int(book.account_ids[row]), cycle_day(book, row, kind.cycle, time_us)) >= 0


def _place(book: BalanceBook, kind: CounterKind, account: int, day: int) -> int:
    """Place of a counter's row in the table of open sessions, or ~place of where it belongs."""
    hi, lo = (int(half) for half in row_key_nb(COUNTER, kind.key, account, day))
    mask = int(book.sessions.shape[0]) - 1
    place: int = (hi ^ lo) & mask
    while True:
        found = int(book.sessions[place, X_HI]), int(book.sessions[place, X_LO])
        if found == (hi, lo):
            return place
        if found == (0, 0):
            return ~place
        place = (place + 1) & mask
