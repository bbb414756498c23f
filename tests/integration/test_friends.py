"""Lists of friends: from friends.parquet when accounts are opened, then by commands; numbers are kept nowhere."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.corrections.rerate import Request, rerate
from schemas.errors import ReferenceDataError
from tests.integration.hand_made import DAY, LONG_AGO, HandMade
from tests.integration.site import put_commands
from tests.small_operator import times

FRANCE = "33123456789"  # whom Anna calls
TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema([("account_id", pa.int64()), ("number", pa.string()), *((name, TIME) for name in times())])


@pytest.fixture
def site(tmp_path: Path, keys: Path) -> HandMade:
    site = HandMade(tmp_path, keys)
    tariff = site.own_tariffs() / "2026.yaml"
    rate = "  friends: {unit: second, slots: [{price: 0.06, per: 60}]}\n"
    price = "      - {service: voice, zones: [europe], friends: true, rate: friends}\n"
    text = tariff.read_text().replace("  sms: {unit: message", rate + "  sms: {unit: message", 1)
    tariff.write_text(text.replace("    prices:\n", "    prices:\n" + price, 1))
    return site


def friends(site: HandMade, *rows: dict[str, Any]) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), site.input.operator / "friends.parquet")


def row(account: int = 1, number: str = f"+{FRANCE}", **changes: Any) -> dict[str, Any]:
    return {"account_id": account, "number": number, **times(**changes)}


def command(line: int, kind: str, at: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"f-{line}", "kind": kind, "time": f"2026-10-21T{at}:00Z", "account_id": 1, **fields}


def charges(site: HandMade) -> list[float]:
    site.run()
    return [charge / 1e9 for charge, _ in site.charged()]


def replays(site: HandMade) -> bool:
    again = rerate(site.input, site.home, Request(1_800_000_000_000_000, "tester", "as it was"), dry_run=True)
    return again.proved and not again.changes


def test_the_file_says_who_is_a_friend_from_when_until_when(site: HandMade) -> None:
    noon = LONG_AGO + 44 * 86_400_000_000  # 12:00 UTC of the day
    friends(site, row(stop=noon), row(number="33999999999"), row(2), row(start=noon + 1, superseded=noon))
    site.calls(1, "130000", [(1, "11:59"), (2, "12:00")])
    assert charges(site) == [0.06, 0.64]
    assert replays(site)
    site.calls(2, "140000", [(3, "11:58")])
    assert charges(site) == [0.06, 0.64, 0.06], "the book keeps them over a restart"


def test_commands_put_numbers_on_the_list_and_take_them_off_and_keep_none(site: HandMade) -> None:
    site.calls(1, "090000", [(1, "08:00")])
    put_commands(site.input.inbox, 1, DAY + "090100", [
        command(1, "friend_add", "08:30", number=f"+{FRANCE}"),
        command(2, "friend_add", "08:30", number="not a number"),
        command(3, "friend_add", "08:30", number=7, token=9)])
    site.calls(2, "090200", [(2, "08:29"), (3, "08:31")])
    put_commands(site.input.inbox, 2, DAY + "090300", [command(4, "friend_remove", "08:40", number=FRANCE)])
    site.calls(3, "090400", [(4, "08:39"), (5, "08:41")])
    assert charges(site) == [0.64, 0.64, 0.06, 0.06, 0.64]
    assert [row["reason"] for row in site.rows("suspense")] == ["bad_command"] * 2
    assert replays(site)
    for folder in ("journal", "snapshots", "ledger"):
        for path in (site.home.root / folder).rglob("*"):
            assert not path.is_file() or FRANCE.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(("rows", "told"), [
    ([row(9)], "friends.parquet, account_id: 9; expected ids of accounts.parquet"),
    ([row(), row(number="Ben")], "friends.parquet, number: 1 values that are no number or address, the first in row 1"),
    ([row(), row()], "friends.parquet: account 1 has a number twice at one time"),
    ([row(start=5, stop=4)], "friends.parquet: 1 rows whose valid_to is before valid_from")])
def test_a_file_that_cannot_be_used_is_refused(site: HandMade, rows: list[dict[str, Any]], told: str) -> None:
    friends(site, *rows)
    with pytest.raises(ReferenceDataError) as refused:
        site.run()
    assert told in str(refused.value)
