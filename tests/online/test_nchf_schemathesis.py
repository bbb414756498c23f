"""schemathesis against the server: requests that the official texts allow and forbid, answers that they allow."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.nchf_openapi import bundle, declared
from tests.nchf_peers import Site, serving

pytestmark = [pytest.mark.online, pytest.mark.filterwarnings("ignore")]
BASES = {"converged": "/nchf-convergedcharging/v3", "offline": "/nchf-offlineonlycharging/v1"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Any:
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[Site] = []

    async def main() -> None:
        async with serving(tmp_path_factory.mktemp("nchf")) as made:
            found.append(made)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    loop.close()


@pytest.mark.parametrize("release", [16, 17])
@pytest.mark.parametrize("api", list(BASES))
def test_schemathesis_finds_nothing(site: Site, tmp_path: Path, api: str, release: int) -> None:
    spec = bundle(api, release)
    if spec is None:
        pytest.skip("the official texts are not here: set TARIFA_STANDARDS")
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(declared(spec)))
    ran = subprocess.run(
        [Path(sys.executable).parent / "schemathesis", "run", str(path), "--url", site.url + BASES[api],
         "--phases", "fuzzing", "--max-examples", os.environ.get("TARIFA_EXAMPLES", "100"), "--seed", "1",
         "--continue-on-failure", "--warnings", "off"], capture_output=True, text=True, check=False, cwd=tmp_path)
    said = [line[:400] for line in ran.stdout.splitlines() if line.strip()]
    assert ran.returncode == 0, "\n".join(said[-60:])
    assert not site.app.charging.ticks.failures
    assert 500 not in site.app.answered
