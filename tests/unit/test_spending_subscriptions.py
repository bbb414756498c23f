"""Spending limit subscriptions on disk: durable, encrypted, whole or cut off."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mediation.memory import Lexicon
from mediation.tokens import Sightings
from pipelines.nchf.columns import Columns
from pipelines.nchf.limits import Limits
from pipelines.nchf.requests import Rows, append_subscriber
from pipelines.nchf.spending import NchfSubscription, SpendingLimitContext, SpendingLimits, subscription_log
from schemas.errors import LedgerError
from tests.small_operator import ANNA, TOKEN_KEY, Reference

SECRET = b"s" * 32


def one(name: str, **more: object) -> NchfSubscription:
    return NchfSubscription(name, "pcf", 7, ("volume",), False, notify_uri="http://127.0.0.1/x",
                            supi="imsi-001010000000001", told={"volume": "below"}, **more)  # type: ignore[arg-type]


def test_what_was_appended_is_read_again_the_newest_of_each(tmp_path: Path) -> None:
    log = subscription_log(tmp_path / "serve" / "log", SECRET)
    assert log.read() == {}
    log.append([one("a"), one("b")])
    log.append([one("a", notify_id="n")])
    log.append([one("b", gone=True)], durable=False)
    assert subscription_log(tmp_path / "serve" / "log", SECRET).read() == {"a": one("a", notify_id="n")}


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    subscription_log(path, SECRET).append([one("a")])
    assert b"00101" not in path.read_bytes() and path.stat().st_mode & 0o077 == 0
    with pytest.raises(LedgerError, match="line 1 cannot be read"):
        subscription_log(path, b"t" * 32).read()


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = subscription_log(path, SECRET)
    log.append([one("a"), one("b")])
    whole = path.read_bytes()
    for cut in range(len(whole.splitlines(True)[0]), len(whole)):
        path.write_bytes(whole[:cut])
        again = subscription_log(path, SECRET)
        assert set(again.read()) == {"a"}
        again.append([one("c")])
        assert set(subscription_log(path, SECRET).read()) == {"a", "c"}


def test_a_damaged_line_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    subscription_log(path, SECRET).append([one("a"), one("b")])
    octets = bytearray(path.read_bytes())
    octets[30] ^= 1
    path.write_bytes(octets)
    with pytest.raises(LedgerError, match="line 1"):
        subscription_log(path, SECRET).read()


def test_a_log_that_is_mostly_history_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = subscription_log(path, SECRET)
    for _ in range(30):
        log.append([one("a")] * 50, durable=False)
    before = path.stat().st_size
    assert set(subscription_log(path, SECRET).read()) == {"a"}
    assert path.stat().st_size < before / 100 and path.stat().st_mode & 0o077 == 0


def test_numbers_that_a_subscription_brings_first_reach_the_vault(tmp_path: Path) -> None:
    """Charging names them by tokens afterwards, and would not tell of them again."""
    class Node:
        reference, lexicon, told = Reference().load(tmp_path), Lexicon(), list[Sightings]()
        charging = SimpleNamespace(current=reference)
        on_reached, on_command, on_switch = list[Any](), list[Any](), list[Any]()

        async def remember(self, sightings: Sightings) -> int:
            self.told.append(sightings)
            return 0

    node: Any = Node()
    notifier: Any = None
    spending = SpendingLimits(node, TOKEN_KEY, subscription_log(tmp_path / "log", SECRET), notifier, Limits())
    rows = Rows.begin()
    append_subscriber(rows, f"imsi-{ANNA[2]}", f"msisdn-{ANNA[1]}", 1)
    for _ in range(2):
        asyncio.run(spending._account(SpendingLimitContext(supi=f"imsi-{ANNA[2]}", gpsi=f"msisdn-{ANNA[1]}")))
    cells, sightings = Columns(TOKEN_KEY, node.lexicon, "nchf", 10).cells(rows, node.reference)
    assert not len(sightings) and len(node.told) == 1
    assert {int(cells["msisdn_token"][0]), int(cells["imsi_token"][0])} == set(node.told[0].token.tolist())
