"""Requests as granian's threads hand them over: gathered, answered each with its own, whatever the others are."""

import asyncio
import json
import random
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from granian._granian import RSGIProtocolClosed

from pipelines.nchf.app import NchfApp
from pipelines.nchf.arrivals import Gatherer
from pipelines.nchf.limits import Limits
from tests.nchf_peers import ROOT, Site, group, make_app, octets, request
from tests.property.test_nchf_blocks import reference_of


class Coming:
    """granian's future of a body: tells its loop from another thread when it is there."""

    def __init__(self, gatherer: Gatherer, body: bytes | BaseException) -> None:
        self._gatherer, self._body = gatherer, body

    def add_done_callback(self, call: Callable[..., Any], context: Any = None) -> None:
        threading.Timer(random.random() / 500, self._gatherer.call_soon_threadsafe, (call, self)).start()

    def result(self) -> bytes:
        if isinstance(self._body, BaseException):
            raise self._body
        return self._body

    def cancel(self) -> None:
        pass


class Watcher:
    """A request, its scope and its exchange in one."""

    method, scheme, authority, proto_name = "POST", "http", "chf", "http"

    def __init__(self, gatherer: Gatherer, path: str, body: bytes | BaseException, **headers: str) -> None:
        self._gatherer, self._body, self.path = gatherer, body, path
        size = len(body) if isinstance(body, bytes) else 9
        self.headers = {"content-type": "application/json", "content-length": str(size)} | headers
        self.scope = self.proto = self
        self.told: tuple[int, bytes | None] | None = None

    def __call__(self) -> Coming:
        return Coming(self._gatherer, self._body)

    def response_bytes(self, status: int, _headers: Any, body: bytes) -> None:
        assert self.told is None
        self.told = status, body

    def response_empty(self, status: int, _headers: Any) -> None:
        assert self.told is None
        self.told = status, None

    def done(self) -> None:
        assert self.told is not None

    def came(self) -> None:
        """As granian's scheduler does it, on a thread of its own."""
        async def never() -> None:
            raise AssertionError("a task of granian's")

        thread = threading.Thread(target=self._gatherer.call_soon_threadsafe, args=(print, never(), self))
        thread.start()
        thread.join()


def gathered(folder: Path, test: Callable[[Site, Gatherer], Any], limits: Limits | None = None) -> NchfApp:
    """Run a test before an app that gathers."""
    site = make_app(folder, limits=limits)

    async def main() -> None:
        gatherer = Gatherer(asyncio.get_running_loop(), site.app.arrived, site.app.turned)
        await test(site, gatherer)
        assert site.app.open == 0 and not site.app.reading and site.app.charging.gate.waiting == 0

    asyncio.run(main())
    return site.app


async def until_told(watchers: list[Watcher]) -> None:
    for watcher in watchers:
        watcher.came()
    async with asyncio.timeout(20):
        while any(watcher.told is None for watcher in watchers):
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)


def path(reference: str, operation: str = "update") -> str:
    return f"{ROOT}/{reference}/{operation}"


def test_each_of_many_gets_its_own_answer(tmp_path: Path) -> None:
    chance = random.Random(8)

    async def test(site: Site, gatherer: Gatherer) -> None:
        sessions = []
        for number in range(40):
            session = {"chargingId": number, "pduSessionInformation": {"pduSessionID": 5, "dnnId": "internet"}}
            body = octets(request(0, group(), pDUSessionChargingInformation=session))
            sessions.append((Watcher(gatherer, ROOT, body), session))
        await until_told([watcher for watcher, _ in sessions])
        assert all(watcher.told is not None and watcher.told[0] == 201 for watcher, _ in sessions)
        keys = list(site.node.sessions)
        assert len(keys) == 40
        places = [reference_for(site, key) for key in keys]
        blocks = site.app.charging.ticks.blocks
        asked: list[tuple[Watcher, int | tuple[int, int]]] = []
        for number, place in enumerate(places):
            body = octets(request(1 + number, group(10, 100 + number, 5), group(20, 7)))
            asked.append((Watcher(gatherer, path(place), body), (1 + number, 100 + number)))
            asked.append((Watcher(gatherer, path(reference_of(chance)), body), 404))
            wrong = body.replace(b'"ratingGroup": 10', b'"ratingGroup": "x"')
            asked.append((Watcher(gatherer, path(place), wrong), 400))
            asked.append((Watcher(gatherer, path(place), RSGIProtocolClosed()), 0))
            asked.append((Watcher(gatherer, path(place), body, **{"content-length": "99999999"}), 413))
            odd = body.replace(b"0.123Z", b"0.1230000Z")  # right, and not plain
            asked.append((Watcher(gatherer, path(place), odd), (1 + number, 100 + number)))
        chance.shuffle(asked)
        gone = [watcher for watcher, expected in asked if expected == 0]
        for watcher in gone:
            watcher.came()
        await until_told([watcher for watcher, expected in asked if expected != 0])
        assert all(watcher.told is None for watcher in gone) and site.app.answered[499] == 40
        for watcher, expected in asked:
            if expected == 0:
                continue
            assert watcher.told is not None
            status, said = watcher.told
            if isinstance(expected, int):
                assert status == expected
                continue
            assert status == 200 and said is not None
            answer = json.loads(said)
            units = answer["multipleUnitInformation"]
            assert (answer["invocationSequenceNumber"], units[0]["grantedUnit"]["totalVolume"]) == expected
        assert site.app.charging.ticks.blocks - blocks < 120  # gathered
        ends = [Watcher(gatherer, path(place, "release"), octets(request(99, group(10, None, 1)))) for place in places]
        await until_told(ends)
        assert all(watcher.told == (204, None) for watcher in ends) and not site.node.sessions

    app = gathered(tmp_path, test)
    assert app.answered[200] == 80 and app.answered[404] == 40 and app.answered[400] == 40 and app.answered[413] == 40


def reference_for(site: Site, key: tuple[int, int]) -> str:
    """The reference of a session, from its key."""
    raw = b"".join(part.to_bytes(8, "little", signed=True) for part in key)
    found = urlsafe_b64encode(raw)[:22].decode()
    assert site.app.charging.references.read(found)[0] == key
    return found


def test_a_node_that_fails_is_told_to_each_of_its_block(tmp_path: Path) -> None:
    async def test(site: Site, gatherer: Gatherer) -> None:
        site.node.fails = OSError("disk full")
        asked = [Watcher(gatherer, path(reference_of(random.Random(n))), octets(request(1, group(10, 1, 1))))
                 for n in range(9)]
        await until_told(asked)
        for watcher in asked:
            assert watcher.told is not None and watcher.told[0] == 500
            assert json.loads(watcher.told[1] or b"")["cause"] == "SYSTEM_FAILURE"

    assert gathered(tmp_path, test).charging.ticks.failures > 0


def test_updates_are_shed_by_number_and_releases_never(tmp_path: Path) -> None:
    async def test(site: Site, gatherer: Gatherer) -> None:
        site.node.wait = asyncio.Event()
        body = octets(request(1, group(10, 1, 1)))
        updates = [Watcher(gatherer, path(reference_of(random.Random(n))), body) for n in range(30)]
        releases = [Watcher(gatherer, path(reference_of(random.Random(n)), "release"), body) for n in range(50, 60)]
        for watcher in updates + releases:
            watcher.came()
        async with asyncio.timeout(20):
            while sum(watcher.told is not None for watcher in updates) < 25:
                await asyncio.sleep(0.005)
        assert not any(watcher.told for watcher in releases)
        site.node.wait.set()
        async with asyncio.timeout(20):
            while any(watcher.told is None for watcher in updates + releases):
                await asyncio.sleep(0.005)
        statuses = [watcher.told[0] for watcher in updates if watcher.told is not None]
        assert (statuses.count(503), statuses.count(404)) == (25, 5)
        assert [watcher.told[0] for watcher in releases if watcher.told is not None] == [404] * 10
        await asyncio.sleep(0.02)

    gathered(tmp_path, test, Limits(waiting_updates=5))


def test_a_body_that_does_not_come_in_time_is_given_up_and_waits_for_nobody(tmp_path: Path) -> None:
    async def test(site: Site, gatherer: Gatherer) -> None:
        class Never(Watcher):
            def __call__(self) -> Any:
                self.coming = Coming(gatherer, asyncio.CancelledError())
                self.coming.add_done_callback = lambda call, context=None: setattr(self, "call", call)  # type: ignore[method-assign,misc]
                self.coming.cancel = lambda: gatherer.call_soon(self.call, self.coming)  # type: ignore[method-assign,attr-defined]
                return self.coming

        body = octets(request(1, group(10, 1, 1)))
        late, good = Never(gatherer, path("A" * 22), body), Watcher(gatherer, path("B" * 21 + "A"), body)
        late.came()
        await until_told([good])
        assert late.told is None and good.told is not None and good.told[0] == 404
        for _ in range(12):
            site.app.sweep(0.5)
        await asyncio.sleep(0.05)
        assert late.told is not None and late.told[0] == 408

    gathered(tmp_path, test)
