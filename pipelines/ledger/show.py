"""What a ledger holds, for people: streams, tables, entries, cuts. Plain values; the command line draws them."""

from dataclasses import dataclass

from pipelines.ledger.head import read_head
from pipelines.ledger.ledger import AsOf, Ledger
from pipelines.ledger.log import Entry
from pipelines.ledger.stream import TABLE


@dataclass(frozen=True)
class StreamSummary:
    """signed_version: newest entry that a signed head covers, 0 when none was signed."""

    name: str
    version: int
    epoch: int
    owner: str
    signed_version: int
    positions: dict[str, int]
    committed_at: str
    state_keys: list[str]


@dataclass(frozen=True)
class TableSummary:
    """One table (or, with rows -1, files of another kind); sums as exact integers."""

    name: str
    kind: str
    files: int
    rows: int
    octets: int
    min_time_us: int | None
    max_time_us: int | None
    sums: dict[str, int]


def streams(ledger: Ledger) -> list[StreamSummary]:
    found = []
    for name, log in ledger.logs().items():
        newest, head = log.entries[-1], read_head(ledger.store, name)
        found.append(StreamSummary(name, log.version, newest.epoch, newest.owner, head[0].version if head else 0,
                                   log.positions(), newest.committed_at, sorted(newest.state)))
    return found


def tables(ledger: Ledger, as_of: AsOf = None) -> list[TableSummary]:
    """Every table and other kind of file that is live, by kind and name."""
    by_name: dict[tuple[str, str], list[int]] = {}
    files = ledger.files(as_of=as_of)
    for place, file in enumerate(files):
        by_name.setdefault((file.kind, file.table), []).append(place)
    found = []
    for (kind, name), places in sorted(by_name.items(), key=lambda each: (each[0][0] != TABLE, each[0])):
        mine = [files[place] for place in places]
        sums: dict[str, int] = {}
        for file in mine:
            for column, text in file.sums.items():
                sums[column] = sums.get(column, 0) + int(text)
        found.append(TableSummary(
            name, kind, len(mine), sum(each.rows for each in mine) if kind == TABLE else -1,
            sum(each.octets for each in mine),
            min((each.min_time_us for each in mine if each.min_time_us is not None), default=None),
            max((each.max_time_us for each in mine if each.max_time_us is not None), default=None), sums))
    return found


def entries(ledger: Ledger, stream: str, newest: int = 20) -> list[Entry]:
    """The newest entries of a stream, newest first."""
    log = ledger.logs().get(stream)
    return list(reversed(log.entries[-newest:])) if log else []
