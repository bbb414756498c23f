"""What happened to an account around a time, in the order in which it was charged, and what that means in words.

Nobody's number is in it: other parties are zones and services, people are accounts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.accounts.history import Command, Movement, Past, Row, movement_of
from pipelines.accounts.view import Viewer
from reference_data.tariffs.compile import Tariffs
from schemas.money import format_money
from schemas.timepoint import format_time

RESULTS = {2001: "granted", 4010: "refused: the account's state does not permit it",
           4011: "no credit control: it costs nothing", 4012: "refused: the credit limit is reached",
           5002: "of a session that nobody knows; its usage is charged all the same", 5030: "refused: nobody has it",
           5031: "refused: no price for it"}
_KILO = ("octets", "KiB", "MiB", "GiB", "TiB")
_ORDER = {"command": 0, "state": 1, "identity": 2, "debit": 3, "movement": 3, "grant": 4, "refusal": 4, "notice": 5}


@dataclass(frozen=True)
class Moment:
    """One thing that happened. amount: nanos on the account's own balance; before and after: None where it moved none.

    kind: command, state, identity, grant, refusal, debit, movement, suspense or notice.
    """

    position: int
    at_us: int
    kind: str
    what: str
    amount: int | None = None
    before: int | None = None
    after: int | None = None
    facts: Row = field(default_factory=dict)

    def as_json(self) -> Row:
        """Money as decimal text, times as ISO."""
        money = {name: format_money(value) for name, value in
                 (("amount", self.amount), ("balance_before", self.before), ("balance_after", self.after))
                 if value is not None}
        return {"time": format_time(self.at_us), "journal_position": self.position, "kind": self.kind,
                "what": self.what, **money, **self.facts}


@dataclass(frozen=True)
class Timeline:
    """The account at a time, and what happened around it."""

    account_id: int
    at_us: int
    state: str
    state_since_us: int | None
    plans: tuple[str, ...]
    tariff_version: str
    balance: int
    currency: str
    moments: tuple[Moment, ...]

    def words(self) -> list[str]:
        """The story, for whoever answers a complaint."""
        said = [f"At {format_time(self.at_us)} account {self.account_id} was {self.state}"
                + (f" since {format_time(self.state_since_us)}" if self.state_since_us else "")
                + f", on {' and '.join(self.plans) or 'no plan'}, under tariff {self.tariff_version or 'none'}; "
                f"its balance was {format_money(self.balance)} {self.currency}."]
        refusals = [m for m in self.moments if m.kind == "refusal"]
        for moment in refusals[:10]:
            before = [m for m in self.moments if m.position <= moment.position and m.after is not None]
            left = f"; {format_money(before[-1].after or 0)} {self.currency} were left" if before else ""
            said.append(f"At {format_time(moment.at_us)}: {moment.what}{left}.")
            after = next((m for m in self.moments if m.position > moment.position and m.kind == "command"
                          and m.what.startswith(("top_up", "adjust", "state", "grant"))), None)
            if after is not None:
                said.append(f"After that, at {format_time(after.at_us)}: {after.what}.")
        if len(refusals) > 10:
            said.append(f"And {len(refusals) - 10} refusals more.")
        uncollected = [m for m in self.moments if m.facts.get("uncollected")]
        if uncollected:
            said.append(f"{len(uncollected)} charges were more than the balance had; what was missing is posted as "
                        "uncollected, and no balance went below its limit for it.")
        debits = [m for m in self.moments if m.kind == "debit"]
        if debits:
            total = sum(int(m.facts["charge_nanos"]) for m in debits)
            said.append(f"{len(debits)} usages were charged {format_money(total)} {self.currency} in all.")
        if not self.moments:
            said.append("Nothing is known to have happened around that time.")
        return said

    def as_json(self) -> Row:
        """The same, with the story in words."""
        return {"account_id": self.account_id, "at": format_time(self.at_us), "state": self.state,
                "plans": list(self.plans), "tariff_version": self.tariff_version,
                "balance": format_money(self.balance), "currency": self.currency, "explanation": self.words(),
                "moments": [m.as_json() for m in self.moments]}


@dataclass(frozen=True)
class Known:
    """What is known of the account without the ledger: currency, plans at the time, state if it never changed."""

    account_id: int
    currency: str
    plans: tuple[str, ...]
    state: str


def timeline(past: Past, known: Known, tariffs: Tariffs, at_us: int) -> Timeline:
    """Read and order it. Law 4 and 5 made it readable: every change of a balance is a posting with its cause."""
    viewer = Viewer(tariffs)
    rated = past.rows("rated")
    suspense = past.rows("suspense")
    refused = {_of_command(row): row["reason"] for row in suspense if row["record_type"] == "command"}
    moments = [*_movements(past.rows("posting"), rated, past.commands(), refused, viewer),
               *_states(past.rows("account_state")), *_identities(past.rows("identity_change")),
               *_grants(past.rows("grant")), *_aside(suspense, set(refused)), *_notices(past.rows("notification"))]
    moments = sorted(moments, key=lambda m: (m.position if m.position >= 0 else _position_of(m.at_us, moments),
                                             _ORDER.get(m.kind, 6)))
    state = past.state_at(at_us)
    version = tariffs.version_at(at_us)
    return Timeline(known.account_id, at_us, state[0] if state else known.state, state[1] if state else None,
                    known.plans, "" if version is None else version.name, past.balance_at(at_us), known.currency,
                    tuple(moments))


def _position_of(at_us: int, moments: Sequence[Moment]) -> int:
    """Where something without a place in the journal belongs: behind what is dated before it."""
    return max((m.position for m in moments if m.position >= 0 and m.at_us <= at_us), default=-1)


def _movements(postings: Sequence[Row], rated: Sequence[Row], commands: Sequence[Command],
               refused: dict[Movement, str], viewer: Viewer) -> list[Moment]:
    """Debits, commands, and what the clock or a correction moved; each with its postings.

    refused: commands that were (see `_of_command`), and why; those that are told here are taken out.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for posting in postings:
        key = (posting["journal_position"], posting["movement_hi"], posting["movement_lo"])
        groups.setdefault(key, []).append(posting)
    found = []
    for row in rated:
        key = (row["journal_position"], row["event_id_hi"], row["event_id_lo"])
        found.append(_debit(row, groups.pop(key, []), viewer))
    taken: set[tuple[Any, ...]] = set()
    for command in commands:
        movement: Movement | None = movement_of(command.fields) if command.fields else None
        by = command.line if movement is None else movement
        if command.refused:
            found.append(Moment(command.position, command.at_us, "refusal",
                                f"{_command_words(command)} was refused: {command.refused}"))
            continue
        if by in refused:
            found.append(Moment(command.position, command.at_us, "refusal",
                                f"{_command_words(command)} was refused: {refused.pop(by)}"))
            continue
        key = next((k for k in groups if k[0] == command.position and movement in (None, k[1:])), None) or ()
        mine = groups.get(key, [])
        if key:
            taken.add(key)
        found.append(_moved(command.position, command.at_us, "command", _command_words(command), mine, viewer))
    for key, mine in groups.items():
        if key not in taken:
            reasons = " and ".join(dict.fromkeys(p["reason"] for p in mine))
            kind = "command" if reasons in ("top_up", "adjustment", "transfer", "opening") else "movement"
            found.append(_moved(key[0], mine[0]["at_us"] or 0, kind, reasons, mine, viewer))
    return found


def _moved(position: int, at_us: int, kind: str, what: str, postings: Sequence[Row], viewer: Viewer,
           facts: Row | None = None) -> Moment:
    money = [p for p in postings if p["ledger_account"] == "balance" and p["unit"] == "money"]
    units = [f"{'+' if p['amount'] > 0 else ''}{_units(p['amount'], p['unit'])} of "
             f"{viewer.bucket_name(p['bucket_id'])[1]}"
             for p in postings if p["ledger_account"] == "allowance" and p["bucket_id"] is not None]
    if units:
        what += ": " + ", ".join(units)
    if not money:
        return Moment(position, at_us, kind, what, facts=facts or {})
    amount, after = sum(p["amount"] for p in money), int(money[-1]["balance_after"])
    return Moment(position, at_us, kind, what, amount, after - amount, after, facts or {})


def _debit(row: Row, postings: Sequence[Row], viewer: Viewer) -> Moment:
    what = f"{row['service']} {row['direction'] or ''}".strip() + f", {_units(row['quantity'] or 0, row['unit'])}"
    what += (f" to {row['zone']}" if row["zone"] else "") + f", charged {format_money(row['charge_nanos'])}"
    if row["revision"] % 2:
        what += ", taken back by a correction"
    if row["leg"]:
        what += f", charge leg {row['leg']}"
    if row.get("refusal") is not None and row["refusal"] >= 0:
        what += f", in a state that refuses it ({row['refusal']})"
    facts: Row = {"event_id": row["event_id"], "charge": format_money(row["charge_nanos"]),
                  "charge_nanos": row["charge_nanos"], "plan": row["plan"], "tariff_version": row["tariff_version"],
                  "zone": row["zone"], "band": row["band"], "revision": row["revision"]}
    if row["uncollected_nanos"]:
        facts["uncollected"] = format_money(row["uncollected_nanos"])
        what += f", {facts['uncollected']} of it uncollected"
    return _moved(row["journal_position"], row["at_us"], "debit", what, postings, viewer, facts)


def _command_words(command: Command) -> str:
    fields = command.fields
    said = [f"{name} {fields[name]}" for name in ("amount", "plan", "state", "bucket", "shared_account_id",
                                                  "to_account_id", "from", "until", "reservation") if name in fields]
    who = fields.get("who")
    return command.kind + (f" ({', '.join(said)})" if said else "") + (f", by {who}" if who else "")


def _states(rows: Iterable[Row]) -> list[Moment]:
    return [Moment(r["journal_position"], r["at_us"], "state",
                   f"{r['state_before']} becomes {r['state']} ({r['cause']})" if r["state_before"] != r["state"]
                   else f"stays {r['state']}, valid until {r['valid_until_us']}") for r in rows]


def _identities(rows: Iterable[Row]) -> list[Moment]:
    """One moment for each command: how many identities came and went."""
    found: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row["journal_position"], row["at_us"]), []).append(row)
    moments = []
    for (position, at_us), mine in found.items():
        came = sum(r["part"] is None and r["until_us"] is None for r in mine)
        went = sum(r["part"] is None and r["until_us"] is not None for r in mine)
        ended = sum(r["part"] is not None and r["holder"] is None for r in mine)
        words = [*([f"{came} given"] if came else []), *([f"{went} given up"] if went else []),
                 *([f"{ended} kinds ended"] if ended and not came else [])]
        since = min(mine, key=lambda r: str(r["valid_from_us"]))["valid_from_us"]
        moments.append(Moment(position, at_us, "identity", f"numbers and SIMs of service {mine[0]['service_id']}: "
                              + (", ".join(words) or "changed") + f", since {since.isoformat()}"))
    return moments


def _grants(rows: Iterable[Row]) -> list[Moment]:
    """Answers of charging in real time: what was asked, used, granted; refusals are rows too."""
    moments = []
    for row in rows:
        code = row["result_code"]
        refused = code not in (2001, 4011, 5002)
        unit = row["unit"] or "unit"
        if row["service"] is None and row["released"]:
            moments.append(Moment(row["journal_position"], row["at_us"], "grant",
                                  "a reservation was over that nobody had taken: its money is free again"))
            continue
        parts = [f"{row['service']} {row['kind']}"]
        if row["used"]:
            parts.append(f"used {_units(row['used'], unit)}")
        if row["requested"] is not None:
            parts.append("asked " + (_units(row["requested"], unit) if row["requested"] else "for a quota"))
        if row["granted"] is not None and not refused:
            parts.append(f"granted {_units(row['granted'], unit)}")
        if row["released"]:
            parts.append("released by supervision: nobody reported")
        if row["final_action"] not in (None, "none"):
            parts.append(f"then {row['final_action']}")
        words = RESULTS.get(code, f"result {code}")
        moments.append(Moment(row["journal_position"], row["at_us"] or row["received_at_us"],
                              "refusal" if refused else "grant",
                              ", ".join(parts) + (f"; {words} ({code})" if code != 2001 else ""),
                              facts={"result_code": code, "rating_group": row["rating_group"]}))
    return moments


def _aside(rows: Iterable[Row], commands: set[Movement]) -> list[Moment]:
    """What was set aside. commands: those that were refused and are not told yet."""
    return [Moment(-1, r["at_us"], "refusal" if r["record_type"] == "command" else "suspense",
                   f"a command was refused: {r['reason']}" if r["record_type"] == "command" else
                   f"{r['service']} was set aside at {r['stage']}: {r['reason']}", facts={"reason": r["reason"]})
            for r in rows if r["record_type"] != "command" or _of_command(r) in commands]


def _of_command(row: Row) -> Movement:
    """What tells a refused command: its line, or, where it came by no file, its movement."""
    return (row["file_id"], row["record_offset"]) if row["file_id"] else (row["event_id_hi"], row["event_id_lo"])


def _notices(rows: Iterable[Row]) -> list[Moment]:
    return [Moment(r["journal_position"], r["at_us"], "notice", f"counter {r['counter']} reached {r['threshold']}")
            for r in rows]


def _units(amount: int, unit: str) -> str:
    if unit == "money":
        return format_money(amount)
    if unit == "octet":
        size, place = float(amount), 0
        while abs(size) >= 1024 and place < len(_KILO) - 1:
            size, place = size / 1024, place + 1
        return f"{amount} octets" if not place else f"{size:.1f} {_KILO[place]}"
    return f"{amount} {unit}s"
