"""The charging node killed again and again under load: what was answered stays, and is told again the same."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from diameter.node.application import ApplicationError

from pipelines.serve.home_socket import connect
from rating.snapshot import same_state
from schemas.errors import LedgerError
from tests.integration.site import Site
from tests.integration.test_activation import DEARER, DEAREST, per_megabyte, price
from tests.integration.test_serve import laws, replayed, site_of
from tests.served import Served, ccr, gateway, service, told

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
NUMBERS = ("999701234567", "999708888888", "999706543209")


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    from pipelines.keys import Keys
    from pipelines.sample.generate import generate
    from tests.integration.conftest import DATE, SEED

    generate(tmp_path / "day", 60, DATE, 1, SEED, files_per_source=2)
    Keys.open(tmp_path / "shared" / "keys")
    return site_of(tmp_path / "day", tmp_path, tmp_path / "shared" / "keys")


def test_killed_under_load_the_ledger_has_what_was_answered_and_once(site: Site) -> None:
    under_load(site, 20261123)


def test_killed_under_load_while_tariffs_are_activated_and_rolled_back(site: Site) -> None:
    seen: list[bool] = []

    def activate(dice: random.Random) -> None:
        """Until the node is killed."""
        with suppress(LedgerError):
            while True:
                connection = connect(site.home.root)
                if connection is None:
                    return
                back = dice.random() < 0.4
                if not back:
                    price(site, dice.choice((DEARER, DEAREST)))
                with connection, suppress(*(() if not back else (LedgerError,))):
                    seen.append(connection.ask(op="activate", rollback=back)["changed"])
                time.sleep(dice.uniform(0, 0.1))

    under_load(site, 20261124, activate)
    assert sum(seen) > 5
    prices = {per_megabyte(row) for row in site.rows("rated") if row["quantity"] > 40_000 and row["charge_nanos"]}
    assert len(prices) > 1
    said = site.said()
    one, other = replayed(site)
    assert same_state(one, other) and site.said() == said


def under_load(site: Site, seed: int, beside: Callable[[random.Random], None] | None = None) -> None:
    """Six lives of a node, each killed; what was answered is told again the same, and charged once."""
    dice = random.Random(seed)
    sessions = {f"pgw;{i}": [0, NUMBERS[i % 3]] for i in range(9)}
    used: dict[tuple[str, int], int] = {}
    answered: dict[tuple[str, int], Any] = {}
    for _ in range(6):
        with suppress(ApplicationError, TimeoutError), Served(site.input.root, site.home.root) as served, \
                gateway(served.port) as client:  # the last request is not answered
            for (session, number), before in list(answered.items())[-60:]:  # what was answered is again, and older ones
                if sessions[session][0] - number < 60:
                    assert told(client.ask(_request(sessions, session, number, used))) == before
            if beside is not None:
                threading.Thread(target=beside, args=(random.Random(dice.random()),), daemon=True).start()
            threading.Timer(dice.uniform(0.3, 1.5), served.kill).start()  # at any moment of a request
            while True:
                session = dice.choice(list(sessions))
                number = sessions[session][0]
                used.setdefault((session, number), dice.randrange(1, 50_000) if number else 0)
                answer = client.application.send_request(_request(sessions, session, number, used), timeout=2)
                answered[session, number] = told(answer)
                sessions[session][0] += 1
    with Served(site.input.root, site.home.root) as served:
        with gateway(served.port) as client:
            for session in sessions:
                number = sessions[session][0]
                if number:
                    used.setdefault((session, number), 7)
                    assert client.ask(_request(sessions, session, number, used, 3)).result_code == 2001
        served.stop()
    assert laws(site) == set()
    told_of = {(s, n) for s, n in used if n and ((s, n) in answered or n == sessions[s][0])}
    assert sum(r["quantity"] for r in site.rows("rated")) == sum(used[each] for each in told_of)


def _request(sessions: dict[str, list[Any]], session: str, number: int, used: dict[tuple[str, int], int],
             kind: int = 0) -> Any:
    amount = used.get((session, number), 0)
    return ccr(kind or (2 if number else 1), number, session, sessions[session][1],
               service(10, asks=None if kind == 3 else 0, used=amount if number else None))
