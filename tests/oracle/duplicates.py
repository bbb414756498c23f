"""What the duplicate index must answer, said slowly: a dictionary, one record at a time."""

from dataclasses import dataclass

NEW, DUPLICATE, CONFLICT, TOO_OLD = range(4)


@dataclass(frozen=True)
class Record:
    """A record as deduplication sees it. key: node and four fields; the key's time is part of its identity."""

    key: tuple[int, int, int, int, int]
    key_time_us: int
    content: int
    file_id: int
    record_offset: int
    oldest_us: int = -(2**63)
    recycled: bool = False


class Memory:
    """Every key ever admitted, with its content and origin."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], Record] = {}

    def take(self, record: Record) -> tuple[int, int, int]:
        """Verdict, and the origin of the first copy or -1, -1. Remembers a new record."""
        if record.key_time_us < record.oldest_us:
            return TOO_OLD, -1, -1
        first = self.known.setdefault((*record.key, record.key_time_us), record)
        origin = (first.file_id, first.record_offset)
        if first is record or (record.recycled and origin == (record.file_id, record.record_offset)):
            return NEW, -1, -1
        return DUPLICATE if first.content == record.content else CONFLICT, *origin
