"""Nchf before the h2 library: many streams of one connection, some of them broken off."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events

from pipelines.nchf.limits import Limits
from tests.nchf_peers import ROOT, Site, group, octets, request, serving


class Client:
    """One connection. `answers`: status and body by stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.answers: dict[int, tuple[int, bytes]] = {}
        self._parts: dict[int, tuple[int, bytes]] = {}
        self.ended = False

    def begin(self, body: bytes, path: str = ROOT, **more: str) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path),
                                      ("content-type", "application/json"), ("content-length", str(len(body))),
                                      *more.items()])
        return int(stream)

    def post(self, body: bytes) -> int:
        stream = self.begin(body)
        self.h2.send_data(stream, body, end_stream=True)
        return stream

    async def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())
        await self._writer.drain()

    async def until(self, streams: set[int]) -> None:
        await self.flush()
        async with asyncio.timeout(20):
            while not streams <= self.answers.keys() and not self.ended:
                got = await self._reader.read(65_536)
                if not got:
                    self.ended = True
                for event in self.h2.receive_data(got):
                    self._happened(event)
                await self.flush()

    def _happened(self, event: Any) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._parts[event.stream_id] = int(dict(event.headers)[":status"]), b""
        elif isinstance(event, h2.events.DataReceived):
            status, body = self._parts[event.stream_id]
            self._parts[event.stream_id] = status, body + event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.answers[event.stream_id] = self._parts.pop(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.answers[event.stream_id] = 0, b""
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.ended = True


@asynccontextmanager
async def connected(site: Site) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(site.settings.host, site.settings.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def body(number: int) -> bytes:
    return octets(request(0, group(number), chargingId=number, pDUSessionChargingInformation=None))


def test_streams_of_one_connection_are_answered_each_with_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as site, connected(site) as smf:
            sent = {smf.post(body(number)): number for number in range(90)}
            await smf.until(set(sent))
            for stream, number in sent.items():
                status, said = smf.answers[stream]
                assert status == 201
                assert json.loads(said)["multipleUnitInformation"][0]["ratingGroup"] == number
            assert len(site.node.blocks) < 60  # what came together went together

    asyncio.run(main())


def test_streams_that_are_broken_off_cost_the_others_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, Limits(body_s=1)) as site:
            async with connected(site) as smf:
                sound = set()
                for number in range(40):
                    stream = smf.begin(body(number))
                    smf.h2.send_data(stream, body(number)[:50])
                    if number % 2:
                        await smf.flush()
                        smf.h2.reset_stream(stream, 8)
                    sound.add(smf.post(body(number)))
                await smf.until(sound)
                assert {smf.answers[stream][0] for stream in sound} == {201}
                short = smf.begin(b"x" * 100)  # says that it is longer than it is
                smf.h2.send_data(short, b"{}", end_stream=True)
                await smf.until({short})
                assert smf.answers[short][0] in (0, 400)
                await asyncio.sleep(1.8)
            await asyncio.sleep(0.2)
            assert site.app.open == 0 and not site.app.reading
            async with connected(site) as smf:
                stream = smf.post(body(99))
                await smf.until({stream})
                assert smf.answers[stream][0] == 201

    asyncio.run(main())


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as site:
            async with connected(site) as smf:
                stream = smf.begin(b"{}", **{f"x-{n}": "y" * 1000 for n in range(40)})
                smf.h2.send_data(stream, b"{}", end_stream=True)
                await smf.until({stream})
                assert smf.ended or smf.answers[stream][0] in (0, 431)
            async with connected(site) as smf:
                stream = smf.post(body(1))
                await smf.until({stream})
                assert smf.answers[stream][0] == 201

    asyncio.run(main())
