"""What carrying out a command needs, and reading its fields."""

from collections.abc import Mapping
from dataclasses import dataclass

from rating.book import BalanceBook, currency_label
from rating.kernels.layout import F_TRAITS, TRAIT_CURRENCY
from reference_data.inventory import Inventory
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.model import TariffVersion
from schemas.codes import Reason
from schemas.columns import ABSENT
from schemas.money import MAX_NANOS, parse_money
from schemas.timepoint import parse_time


class RefusedError(Exception):
    """A command that cannot be carried out, and why: a reason for the ledger, words for whoever sent it."""

    def __init__(self, reason: Reason = Reason.BAD_COMMAND, words: str = "") -> None:
        super().__init__(words or reason.name)
        self.reason, self.words = reason, words

    @classmethod
    def told(cls, found: str, expected: str = "", remedy: str = "", reason: Reason = Reason.BAD_COMMAND
             ) -> "RefusedError":
        """With what was found, what was expected, what to do. No personal number may be in it."""
        return cls(reason, "; ".join([found, *([f"expected {expected}"] if expected else []),
                                      *([remedy] if remedy else [])]))


@dataclass(frozen=True)
class Origin:
    """Where the command was written: source label, file, place and length of its line."""

    source: int = 0
    file_id: int = 0
    record_offset: int = 0
    record_length: int = 0


@dataclass(frozen=True)
class Context:
    """A command, its account's row (-1 for commands that have none), its time, its movement id."""

    command: Mapping[str, object]
    row: int
    time_us: int
    movement: tuple[int, int]
    position: int
    tariffs: Tariffs
    book: BalanceBook
    inventory: Inventory | None = None

    def text(self, name: str) -> str:
        """A field that must be text and not empty."""
        value = self.command.get(name)
        if not isinstance(value, str) or not value:
            raise RefusedError.told(f"{name}: {'nothing' if value is None else 'no text'}", "text")
        return value

    def instant(self, name: str, default: int) -> int:
        """A field that holds a time, or the default where it is left out."""
        if name not in self.command:
            return default
        found = read_time(self.command, name)
        if found is None:
            raise RefusedError.told(f"{name}: no time", "an instant such as 2026-07-01T00:00:00Z")
        return found

    def amount(self, name: str = "amount") -> int:
        """Nanos of an amount in the account's currency, which the command must name."""
        if self.command.get("currency") != self.currency(self.row):
            raise RefusedError.told(f"currency {str(self.command.get('currency'))[:8]!r}", self.currency(self.row))
        try:
            nanos = parse_money(self.text(name))
        except ValueError:
            raise RefusedError.told(f"{name}: no amount", "decimal text such as \"10.00\"") from None
        if abs(nanos) >= MAX_NANOS:
            raise RefusedError.told(f"{name}: too large an amount")
        return nanos

    def currency(self, row: int) -> str:
        """Name of an account's currency."""
        return self.book.currencies[int(self.book.profile[row, F_TRAITS]) >> TRAIT_CURRENCY & 0xFFF]

    def currency_label(self, row: int) -> int:
        return currency_label(self.tariffs, self.currency(row))

    def other_row(self, name: str) -> int:
        """Row of another account that a field names."""
        row = find_row(self.book, read_account(self.command, name))
        if row < 0:
            raise RefusedError.told(f"{name}: no such account", "an account that is open", "",
                                    Reason.UNKNOWN_ACCOUNT)
        return row

    def version(self) -> TariffVersion | None:
        return self.tariffs.version_at(self.time_us)


def read_time(command: Mapping[str, object], name: str = "time") -> int | None:
    """Microseconds of a field, None where it is no time."""
    try:
        return parse_time(str(command[name]))
    except (KeyError, ValueError, OverflowError):
        return None


def read_account(command: Mapping[str, object], name: str = "account_id") -> int:
    """An account id, ABSENT where the field is none."""
    account = command.get(name)
    return account if isinstance(account, int) and not isinstance(account, bool) and 0 <= account < 1 << 62 else ABSENT


def find_row(book: BalanceBook, account: int) -> int:
    """Row of an account, -1 for none."""
    return book.row_of(account) if account != ABSENT and len(book) else -1
