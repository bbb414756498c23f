"""Nchf over its sockets: HTTP/2 with prior knowledge, TLS, HTTP/1.1."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.nchf_peers import OFFLINE_ROOT, ROOT, Site, client, group, request, serving


def run(test: Any) -> None:
    asyncio.run(test)


@pytest.mark.parametrize("http2", [True, False])
def test_a_session_is_created_updated_and_released(tmp_path: Path, http2: bool) -> None:
    async def session(site: Site) -> None:
        async with client(site, http2) as smf:
            made = await smf.post(ROOT, json=request(0, group(10, 1000)))
            assert made.status_code == 201, made.text
            assert made.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            unit = made.json()["multipleUnitInformation"][0]
            assert unit["resultCode"] == "SUCCESS" and unit["grantedUnit"] == {"totalVolume": 1000}
            place = made.headers["location"]
            assert place.startswith(site.url + ROOT + "/")
            more = await smf.post(place + "/update", json=request(1, group(10, 2000, 900)))
            assert more.status_code == 200
            assert more.json()["multipleUnitInformation"][0]["grantedUnit"] == {"totalVolume": 2000}
            end = await smf.post(place + "/release", json=request(2, group(10, None, 300)))
            assert (end.status_code, end.content) == (204, b"")
        assert site.node.used == [(1, 10, 900), (1, 10, 300)]
        assert not site.node.sessions

    async def main() -> None:
        async with serving(tmp_path) as site:
            await session(site)

    run(main())


def test_what_an_unknown_session_used_is_charged_all_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as site, client(site) as smf:
            for reference in ("foo", "A" * 22):
                lost = await smf.post(f"{ROOT}/{reference}/update", json=request(7, group(10, 1000, 500)))
                assert lost.status_code == 404
                assert lost.headers["content-type"] == "application/problem+json"
                assert lost.json()["cause"] == "CONTEXT_NOT_FOUND"
            assert site.node.used == [(1, 10, 500)] * 2
            sessions = {(int(b["session_hi"][0]), int(b["session_lo"][0])) for b in site.node.blocks}
            assert len(sessions) == 2

    run(main())


def test_offline_charging_takes_usage_without_quotas(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as site, client(site) as smf:
            made = await smf.post(OFFLINE_ROOT, json=request(0, group(10, None, 100)))
            assert made.status_code == 201, made.text
            assert "multipleUnitInformation" not in made.json()
            place = made.headers["location"]
            assert (await smf.post(place + "/update", json=request(1, group(10, None, 200)))).status_code == 200
            assert (await smf.post(place + "/release", json=request(2, group(10, None, 300)))).status_code == 204
            assert [used for _, _, used in site.node.used] == [100, 200, 300]
            assert all((block["requested"] == -1).all() for block in site.node.blocks)

    run(main())
