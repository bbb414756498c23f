"""Rows of the ledger about one account, as a timeline needs them. Reads only; values are parameters, never pasted."""

import json
from dataclasses import dataclass
from typing import Any

import duckdb

from pipelines.accounts.desk import digest_of
from pipelines.charging.groups import is_own
from pipelines.charging.node import OWN_COMMANDS
from pipelines.ledger import Ledger
from pipelines.ledger.log import Log
from rating.commands.context import read_time

Row = dict[str, Any]
Movement = tuple[int, int]
MOST_ROWS = 10_000  # of one table in one window; more is refused with the advice to ask for less

_PLACED = "read_parquet(getvariable('files_{}'), union_by_name = true, file_row_number = true)"
_WINDOW = "event_time_us BETWEEN make_timestamptz($from) AND make_timestamptz($to)"
# Fixed text: table names and columns, no input.
_QUERIES = {
    # Rows of a file lie in the order in which they were charged.
    "rated": f"""SELECT *, epoch_us(event_time_us) AS at_us, lower(lpad(hex(event_id_hi), 16, '0')
                 || lpad(hex(event_id_lo), 16, '0')) AS event_id FROM {_PLACED.format('rated')}
                 WHERE account_id = $account AND {_WINDOW} ORDER BY journal_position, file_row_number""",
    # The balance runs over all of the past, in the order in which it was charged; shown is the window.
    "posting": f"""SELECT * FROM (
        SELECT *, epoch_us(event_time_us) AS at_us, sum(CASE WHEN ledger_account = 'balance' AND unit = 'money'
               THEN amount ELSE 0 END) OVER (ORDER BY journal_position, file_row_number) AS balance_after
        FROM {_PLACED.format('posting')} WHERE account_id = $account) WHERE {_WINDOW}
        ORDER BY journal_position, file_row_number""",
    "account_state": f"""SELECT *, epoch_us(event_time_us) AS at_us FROM account_state
                         WHERE account_id = $account AND {_WINDOW} ORDER BY journal_position""",
    "identity_change": """SELECT *, epoch_us(recorded_us) AS at_us FROM identity_change WHERE account_id = $account
                          AND recorded_us BETWEEN make_timestamptz($from) AND make_timestamptz($to)
                          ORDER BY journal_position, change_index""",
    "suspense": f"""SELECT *, epoch_us(event_time_us) AS at_us FROM suspense
                    WHERE (account_id = $account OR msisdn_token = $token) AND {_WINDOW} ORDER BY event_time_us""",
    "grant": f"""SELECT *, epoch_us(event_time_us) AS at_us, epoch_us(received_us) AS received_at_us FROM "grant"
                 WHERE (account_id = $account OR msisdn_token = $token) AND {_WINDOW} ORDER BY journal_position""",
    "notification": f"""SELECT *, epoch_us(event_time_us) AS at_us FROM notification
                        WHERE account_id = $account AND {_WINDOW} ORDER BY journal_position""",
}


@dataclass(frozen=True)
class Command:
    """A command on the account: its place in the journal, its time, its kind, what it said.

    Of files: nothing of that, but file and offset of the line. refused: why, of one that came live.
    """

    position: int
    at_us: int
    kind: str
    fields: Row
    line: tuple[int, int] = (-1, -1)
    refused: str = ""


class Past:
    """What one account's past says within [from, to], microseconds."""

    def __init__(self, ledger: Ledger, connection: duckdb.DuckDBPyConnection, account_id: int, token: int, from_us: int,
                 to_us: int) -> None:
        self._ledger, self._connection = ledger, connection
        self._values = {"account": account_id, "token": token, "from": from_us, "to": to_us}
        self._views = {name for (name,) in connection.execute("SELECT view_name FROM duckdb_views()").fetchall()}

    def rows(self, table: str) -> list[Row]:
        """Rows of a table within the window; none where the ledger has no such table yet."""
        if table not in self._views:
            return []
        query = _QUERIES[table]
        values = {name: value for name, value in self._values.items() if f"${name}" in query}
        found = self._connection.sql(f"{query} LIMIT {MOST_ROWS}", params=values).to_arrow_table()
        rows: list[Row] = found.to_pylist()
        return rows

    def state_at(self, time_us: int) -> tuple[str, int | None] | None:
        """State by the last row until then, and since when; by the first row after it; None: none was written."""
        if "account_state" not in self._views:
            return None
        values = {"account": self._values["account"], "at": time_us}
        found = self._connection.execute(
            "SELECT state::VARCHAR, epoch_us(event_time_us) FROM account_state WHERE account_id = $account AND "
            "event_time_us <= make_timestamptz($at) ORDER BY event_time_us DESC, journal_position DESC LIMIT 1",
            values).fetchone()
        if found is not None:
            return str(found[0]), int(found[1])
        found = self._connection.execute(
            "SELECT state_before::VARCHAR FROM account_state WHERE account_id = $account AND event_time_us > "
            "make_timestamptz($at) ORDER BY event_time_us, journal_position LIMIT 1", values).fetchone()
        return None if found is None else (str(found[0]), None)

    def balance_at(self, time_us: int) -> int:
        """Money, nanos, after all that is dated until then."""
        found = self._connection.execute(
            "SELECT coalesce(sum(amount), 0)::BIGINT FROM posting WHERE account_id = $account AND ledger_account = "
            "'balance' AND unit = 'money' AND (event_time_us IS NULL OR event_time_us <= make_timestamptz($at))",
            {"account": self._values["account"], "at": time_us}).fetchone()
        return int(found[0]) if found else 0

    def commands(self) -> list[Command]:
        """Commands on the account within the window, by their place in the journal."""
        return sorted([*self._own(), *self._of_files()], key=lambda c: c.position)

    def _own(self) -> list[Command]:
        """Those that came live and not as files: kept with the commit of charging."""
        found = []
        account = self._values["account"]
        for entry in Log(self._ledger.store, "charging").refresh().entries:
            for file in entry.added:
                if file.table != OWN_COMMANDS:
                    continue
                for line in self._ledger.read_bytes(file).splitlines():
                    place, content = json.loads(line)
                    fields = json.loads(content)
                    if is_own(fields):
                        continue
                    command = fields["command"]
                    if account in (command.get("account_id"), command.get("shared_account_id"),
                                   command.get("to_account_id")) and "time" in command:
                        at_us = _time(command)
                        if self._values["from"] <= at_us <= self._values["to"]:
                            found.append(Command(place, at_us, str(command.get("kind")), command,
                                                 refused=fields.get("refused", "")))
        return found

    def _of_files(self) -> list[Command]:
        """Those of command files: what charging's log says of the group tells where in the journal they are."""
        if "command" not in self._views:
            return []
        rows = self._connection.execute(
            "SELECT filename, file_row_number, kind::VARCHAR, epoch_us(event_time_us), file_id, record_offset FROM "
            "read_parquet(getvariable('files_command'), union_by_name = true, file_row_number = true, filename = true) "
            f"WHERE account_id = $account AND {_WINDOW} LIMIT {MOST_ROWS}",
            {name: self._values[name] for name in ("account", "from", "to")}).fetchall()
        if not rows:
            return []
        versions = {file.path: entry.version for entry in Log(self._ledger.store, "mediation").refresh().entries
                    for file in entry.added if file.table == "command"}
        firsts: dict[int, int] = {}
        for entry in Log(self._ledger.store, "charging").refresh().entries:
            if "journal" in entry.positions and "mediation_version" in entry.state:
                firsts.setdefault(int(entry.state["mediation_version"]), entry.positions["journal"][0])
        found = []
        for name, place, kind, at_us, *line in rows:
            version = next((v for path, v in versions.items() if str(name).endswith(path)), None)
            first = firsts.get(version) if version is not None else None
            found.append(Command(-1 if first is None else first + int(place), int(at_us), kind, {}, tuple(line)))
        return found


def movement_of(command: Row) -> Movement:
    """The movement id of a command, as the ledger writes it."""
    digest = digest_of(command)
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _time(command: Row) -> int:
    found = read_time(command)
    return -1 if found is None else found
