"""Rows of balances against the operator's reference data: what each becomes as a command, or what is wrong with it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.importing.balance_file import KINDS, MAX_TEXT, Group, Row, Total
from rating.commands.opening import counter_unit
from rating.counters import counter_kinds
from reference_data.accounts import Accounts
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.granting import parse_amount
from reference_data.tariffs.model import GRANTED, Allowance
from schemas.codes import Unit
from schemas.errors import ChargingError
from schemas.money import MAX_NANOS
from schemas.timepoint import EARLIEST_US, END_US, format_time, parse_time

_FIELDS_OF = {"money": {"currency"}, "bucket": {"name", "plan", "currency", "valid_from", "valid_to", "cycle"},
              "counter": {"name", "currency", "cycle"}}
_EVERY = frozenset({"name", "plan", "currency", "valid_from", "valid_to", "cycle"})


class RowError(Exception):
    """What is wrong with a row: field, what was found, what was expected."""

    def __init__(self, field_name: str, found: str, expected: str) -> None:
        super().__init__(f"{field_name}: {found}; expected {expected}")


@dataclass
class Checker:
    """Turns rows into commands and adds up what they bring.

    at_us: the instant for which the balances are. digest: of the file's content, a part of the commands' ids, by which
    the same rows are known again.
    """

    accounts: Accounts
    tariffs: Tariffs
    time_zone: str
    at_us: int
    digest: str
    totals: dict[Group, Total] = field(default_factory=lambda: defaultdict(lambda: Total(0, 0)))

    def __post_init__(self) -> None:
        names = self.accounts.currencies
        self._currency = dict(zip(self.accounts.account_id.tolist(),
                                  (names[i] for i in self.accounts.currency.tolist()), strict=True))
        version = self.tariffs.version_at(self.at_us)
        if version is None:
            raise ChargingError(f"no tariff version is in force at {format_time(self.at_us)}",
                                "a time within that of the operator's tariffs", "correct --at")
        self._version = version
        self._counters = counter_kinds(self.tariffs)
        if not EARLIEST_US <= self.at_us < END_US:
            raise ChargingError(f"--at {format_time(self.at_us)}", "a time from 1990 to 2099")

    def command(self, row: Row) -> dict[str, Any] | None:
        """The row as a command; None for a bucket with nothing left. Raises RowError."""
        text = row.text
        for name, value in text.items():
            if len(value) > MAX_TEXT or not value.isprintable():
                raise RowError(name, f"{len(value)} characters, or some that cannot be printed", "plain text")
        kind = text["kind"]
        if kind not in KINDS:
            raise RowError("kind", repr(kind), "one of " + ", ".join(KINDS))
        for name in sorted(_EVERY - _FIELDS_OF[kind]):
            if text.get(name):
                raise RowError(name, repr(text[name]), f"nothing: a row of kind {kind} has none")
        account = self._account(text["account_id"])
        command: dict[str, Any] = {"id": f"balances-{self.digest}-{row.number}", "time": format_time(self.at_us),
                                   "kind": "open_balance", "account_id": account}
        {"money": self._money, "bucket": self._bucket, "counter": self._counter}[kind](text, account, command)
        return command if command else None

    def _account(self, text: str) -> int:
        account = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
        if account not in self._currency:
            raise RowError("account_id", repr(text), "an account_id of accounts.parquet")
        return account

    def _money(self, text: Mapping[str, str], account: int, command: dict[str, Any]) -> None:
        currency = self._money_of(text, account)
        nanos = self._amount(text, Unit.MONEY, least=-MAX_NANOS + 1)
        command.update(amount=text["amount"], currency=currency)
        self._add("money", "", currency, nanos)

    def _bucket(self, text: Mapping[str, str], account: int, command: dict[str, Any]) -> None:
        found = self._find_bucket(text)
        amount = self._amount(text, found.unit)
        currency = self._money_of(text, account) if found.unit == Unit.MONEY else self._no_currency(text)
        granted = found.cycle == GRANTED
        for name in ("cycle", "plan") if granted else ("valid_from", "valid_to"):
            if text.get(name):
                raise RowError(name, repr(text[name]), "nothing: a bucket of the catalogue has valid_from, valid_to"
                               if granted else "nothing: an allowance has the `cycle` that holds a time")
        command.update(bucket=text["name"], amount=text["amount"])
        if text.get("plan"):
            command["plan"] = text["plan"]
        start_us, end_us = self._time(text, "valid_from", command, "from"), self._time(text, "valid_to", command, "to")
        self._time(text, "cycle", command, "cycle")
        if end_us is not None and end_us <= max(self.at_us, self.at_us if start_us is None else start_us):
            raise RowError("valid_to", repr(text["valid_to"]), "a time after valid_from and after --at")
        self._add("bucket", text["name"], currency, amount)
        if granted and not amount:
            command.clear()

    def _counter(self, text: Mapping[str, str], account: int, command: dict[str, Any]) -> None:
        name = text.get("name", "")
        if name not in self._counters:
            raise RowError("name", f"counter {name!r}",
                           "one of " + (", ".join(self._counters) or "none: the tariffs have no counters"))
        unit = counter_unit(self._counters[name])
        value = self._amount(text, unit)
        currency = self._money_of(text, account) if unit == Unit.MONEY else self._no_currency(text)
        command.update(counter=name, value=text["amount"])
        self._time(text, "cycle", command, "cycle")
        self._add("counter", name, currency, value)

    def _find_bucket(self, text: Mapping[str, str]) -> Allowance:
        name, plan = text.get("name", ""), text.get("plan", "")
        if plan and plan not in self._version.plans:
            raise RowError("plan", repr(plan), "one of " + ", ".join(sorted(self._version.plans)[:12]))
        plans = [self._version.plans[plan]] if plan else list(self._version.plans.values())
        found = [allowance for held in plans for allowance in held.allowances if allowance.name == name]
        if not found and not plan and name in self._version.buckets:
            found = [self._version.buckets[name]]
        if not found:
            known = dict.fromkeys([a.name for held in plans for a in held.allowances]
                                  + ([] if plan else list(self._version.buckets)))
            raise RowError("name", f"bucket {name!r}", "one of " + (", ".join(sorted(known)[:12]) or "none")
                           + (f" (of plan {plan})" if plan else ""))
        if len({allowance.unit for allowance in found}) > 1:
            raise RowError("plan", "nothing", f"the plan: allowances {name!r} of several plans count different units")
        return found[0]

    def _amount(self, text: Mapping[str, str], unit: Unit, least: int = 0) -> int:
        what = "a decimal amount such as 10.00" if unit == Unit.MONEY else f"whole {unit.name.lower()}s, 0 or more"
        try:
            amount = parse_amount(text["amount"], unit)
        except ValueError:
            raise RowError("amount", repr(text["amount"]), what) from None
        if not least <= amount < (MAX_NANOS if unit == Unit.MONEY else 1 << 60):
            raise RowError("amount", repr(text["amount"]), what + (", below 2305843009" if unit == Unit.MONEY else
                                                                   ", below 2^60"))
        return amount

    def _money_of(self, text: Mapping[str, str], account: int) -> str:
        currency: str = self._currency[account]
        if text.get("currency", "") != currency:
            raise RowError("currency", repr(text.get("currency", "")), f"{currency}, the account's")
        return currency

    @staticmethod
    def _no_currency(text: Mapping[str, str]) -> str:
        if text.get("currency"):
            raise RowError("currency", repr(text["currency"]), "nothing: units have no currency")
        return ""

    def _time(self, text: Mapping[str, str], name: str, command: dict[str, Any], target: str) -> int | None:
        if not text.get(name):
            return None
        try:
            time_us = parse_time(text[name], self.time_zone)
            if not EARLIEST_US <= time_us < END_US:
                raise ValueError
        except (ValueError, OverflowError):
            raise RowError(name, repr(text[name]), "a time such as 2026-07-01T00:00, from 1990 to 2099") from None
        command[target] = format_time(time_us)
        return time_us

    def _add(self, kind: str, name: str, currency: str, amount: int) -> None:
        before = self.totals[kind, name, currency]
        self.totals[kind, name, currency] = Total(before.count + 1, before.sum + amount)
