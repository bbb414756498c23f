"""The node: ticks, group commit, a disk that fails, and what a restart makes of it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.journal import Online, read_journal
from pipelines.serve.node import OnlineNode, Pace, StoppedError
from rating.snapshot import same_state
from reference_data.inventory import tokens_of
from schemas.codes import Direction, Identity, Service, Unit
from schemas.columns import ABSENT, Cells
from schemas.errors import LedgerError
from schemas.online import REQUEST, RequestKind
from schemas.timepoint import parse_time
from tests.integration.site import Site

ACCOUNT = 1_000_000
NOW = 1_793_000_000_000_000


def ask(node: OnlineNode, session: int, number: int, kind: RequestKind = RequestKind.UPDATE, used: int = ABSENT,
        requested: int = 0) -> Cells:
    """A request of the first subscriber for data."""
    cells = Cells.empty(REQUEST, 1, fill=ABSENT)
    holder = node.reference.inventory.holders
    token = int(holder.rows[0, 0])
    for name, value in (("source", node.lexicon.label("source", "gy")), ("service", Service.DATA),
                        ("direction", Direction.ORIGINATING), ("unit", Unit.OCTET), ("event_time_us", NOW),
                        ("msisdn_token", token), ("session_hi", session), ("session_lo", 1), ("rating_group", 10),
                        ("kind", kind), ("number", number), ("message", 0), ("requested", requested), ("used", used),
                        ("roaming", 0), ("merged_count", 1), ("incomplete", 0)):
        cells[name] = value
    return cells


def top_up(number: int) -> dict[str, object]:
    return {"id": f"t-{number}", "time": "2026-10-26T12:00:00Z", "kind": "top_up", "account_id": ACCOUNT,
            "amount": "1.00", "currency": "EUR"}


def served(site: Site, work: Callable[[OnlineNode], Any], pace: Pace | None = None, stop: bool = True) -> Any:
    """A node for as long as `work` takes."""
    async def run() -> Any:
        node = OnlineNode(site.input, site.home, pace=pace)
        try:
            await node.start()
            try:
                return await work(node)
            finally:
                if stop:
                    await node.stop()
        finally:
            if not stop:
                node._behind._closing = True
                await asyncio.to_thread(node._appender.stop)
                for timer in node._timers:
                    timer.cancel()
            node.close()

    return asyncio.run(run())


@pytest.fixture
def site(day: Path, tmp_path: Path, keys: Path) -> Site:
    return Site(day, tmp_path, keys)


def test_what_waits_is_one_tick_and_what_waits_for_the_disk_is_one_sync(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        groups: list[int] = []
        append = node.charging.journal_file.append

        def slow(entries: Sequence[Any]) -> int:
            groups.append(len(entries))
            return append(entries)

        node.charging.journal_file.append = slow  # type: ignore[method-assign]
        answers = await asyncio.gather(*(node.request(ask(node, s, 0, RequestKind.INITIAL)) for s in range(1, 21)),
                                       node.command(top_up(1)), node.command(top_up(1)))
        assert all(int(a["result_code"][0]) == 2001 and int(a["message"][0]) == 0 for a in answers[:20])
        assert [a.status for a in answers[20:]] == ["done", "repeated"]
        assert groups == [3] and node.counters.ticks == 1

    served(site, work, Pace(clock_s=3600))
    online = [e for _, e in read_journal(site.home.journal, 0) if isinstance(e, Online)]
    assert len(online) == 1


def test_after_a_write_that_failed_nobody_is_answered_and_nothing_is_committed(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        assert int((await node.request(ask(node, 1, 0, RequestKind.INITIAL)))["result_code"][0]) == 2001
        append = node.charging.journal_file.append

        def full(entries: Sequence[Any]) -> int:
            raise OSError(28, "no space left")

        node.charging.journal_file.append = full  # type: ignore[method-assign]
        waiting = [asyncio.ensure_future(node.request(ask(node, 1, 1, used=1000))),
                   asyncio.ensure_future(node.command(top_up(1)))]
        for each in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(each, StoppedError)
        with pytest.raises(StoppedError):
            await node.request(ask(node, 1, 2))
        node.charging.journal_file.append = append  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no space"):
            await node.stop()

    with pytest.raises(OSError, match="no space"):
        served(site, work)
    assert not site.rows("rated") and not [r for r in site.rows("posting") if r["reason"] == "top_up"]

    async def again(node: OnlineNode) -> Cells:
        assert node.book.online.open == 1
        return await node.request(ask(node, 1, 1, used=1000))

    assert int(served(site, again)["result_code"][0]) == 2001
    assert [r["quantity"] for r in site.rows("rated")] == [1000]


def test_a_node_that_is_let_go_without_an_end_comes_back_the_same(site: Site) -> None:
    pace = Pace(commit_s=0.05, clock_s=0.02, snapshot_rows=20)

    async def work(node: OnlineNode) -> Cells:
        for number in range(1, 30):
            await asyncio.gather(*(node.request(ask(node, s, number - 1, RequestKind.INITIAL if number == 1 else
                                                    RequestKind.UPDATE, 1000 * s if number > 1 else ABSENT))
                                   for s in range(1, 6)))
            if number % 7 == 0:
                await node.command(top_up(number))
            await asyncio.sleep(0.01)
        return await node.request(ask(node, 1, 29, used=77))

    answer = served(site, work, pace, stop=False)
    assert len(list(site.home.snapshots.glob("*.snapshot"))) >= 1

    async def again(node: OnlineNode) -> tuple[Any, Cells]:
        return node.book.online.open, await node.request(ask(node, 1, 29, used=77))

    open_sessions, repeated = served(site, again)
    assert open_sessions == 5 and int(repeated["repeated"][0]) == 1
    assert int(repeated["granted"][0]) == int(answer["granted"][0])
    assert sum(r["quantity"] for r in site.rows("rated")) == 28 * 1000 * 15 + 77
    books = []
    for _ in range(2):
        node = OnlineNode(site.input, site.home)
        books.append(node.book)
        node.close()
        for path in site.home.snapshots.glob("*.snapshot"):
            path.unlink()
    assert same_state(*books)


def test_a_stopping_node_answers_what_it_has_and_takes_no_more(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        waiting = [asyncio.ensure_future(node.request(ask(node, s, 0, RequestKind.INITIAL))) for s in range(1, 9)]
        await asyncio.sleep(0)
        await node.stop()
        assert [int((await each)["result_code"][0]) for each in waiting] == [2001] * 8
        with pytest.raises(StoppedError):
            await node.command(top_up(1))

    served(site, work, stop=False)
    assert len(site.rows("grant")) == 8


def test_commands_that_are_none_never_reach_the_journal(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        before = node.position
        for wrong in ({"id": "x", "kind": "open_accounts"}, {"id": "y", "kind": "correct", "sha256": "0" * 64}, {},
                      {"id": "z", "kind": "top_up", "filler": "x" * 70_000}):
            assert (await node.command(wrong)).status == "refused"
        assert node.position == before

    served(site, work)


def test_a_home_has_one_owner(site: Site) -> None:
    async def work(node: OnlineNode) -> None:
        with pytest.raises(LedgerError, match="since 20"):
            OnlineNode(site.input, site.home)

    served(site, work)


def test_whoever_begins_a_run_finds_in_the_ledger_what_was_confirmed_before(site: Site) -> None:
    """A run resolves numbers by the ledger: a change confirmed a moment ago, before any commit, must be there."""
    async def work(node: OnlineNode) -> None:
        outcome = await node.command(top_up(1))
        assert outcome.status == "done" and node.charging.position <= outcome.position
        await node.committed()
        assert node.charging.position > outcome.position

    served(site, work, Pace(commit_s=0.3, clock_s=3600))


def test_a_change_is_in_force_for_requests_that_are_stamped_with_the_second_in_which_it_came(site: Site) -> None:
    """Event-Timestamp of Gy has whole seconds: what was changed at 12:00:00.9 was in force for stamps of 12:00:01."""
    new, second = "999760000001", "2026-10-26T12:00:0"
    stamp = parse_time(f"{second}0+00:00")

    def sent(node: OnlineNode, name: str, at: str, kind: str, **more: object) -> Any:
        return node.command({"id": name, "time": f"{second}{at}Z", "kind": kind, **more})

    async def work(node: OnlineNode) -> None:
        def asked(value: str, session: int, identity: Identity = Identity.MSISDN) -> Any:
            cells = ask(node, session, 0, RequestKind.INITIAL)
            cells["event_time_us"] = stamp
            token = int(tokens_of(pa.array([value]), identity, node.keys.token_key)[0])
            cells["msisdn_token"] = token if identity == Identity.MSISDN else ABSENT
            cells["imsi_token"] = token if identity == Identity.IMSI else ABSENT
            return node.request(cells)

        usual = {"account_id": 7, "currency": "EUR", "time_zone": "UTC"}
        for outcome in (
                await sent(node, "a", "0.5", "account_create", plan="prepaid-basic", payment="prepaid", **usual),
                await sent(node, "b", "0.6", "service_add", account_id=7, service_id=70, new_msisdn=new,
                           new_imsi="001019000000001"),
                await sent(node, "c", "0.7", "plan_change", account_id=7, plan="prepaid-plus"),
                await sent(node, "d", "0.8", "sim_swap", account_id=7, msisdn=new, new_imsi="001019000000002"),
                # of the same second, said exactly: it holds from the second's beginning too
                await sent(node, "e", "0.9", "number_change", account_id=7, msisdn=new, new_msisdn="999760000002",
                           **{"from": f"{second}0.85Z"})):
            assert outcome.status == "done", outcome.why
        codes = [(await asked(*each))["result_code"][0] for each in (
            ("999760000002", 1), (new, 2),
            ("001019000000002", 3, Identity.IMSI), ("001019000000001", 4, Identity.IMSI))]
        assert codes == [2001, 5030, 2001, 5030]  # prepaid-plus has a bucket to begin with
        again = await sent(node, "f", "0.95", "number_change", account_id=7, msisdn="999760000002", new_msisdn=new)
        assert again.status == "refused" and "quarantine" in again.why

    served(site, work)
