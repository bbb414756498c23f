"""What of an answer's time is the machine's and the load's own: the same Diameter server with a handler that grants
what is asked at once, remembers nothing and writes nothing. `python -m benchmarks.online_bound` serves it.
"""

import asyncio
import subprocess
import sys

from benchmarks.online_beside import tell
from benchmarks.online_load import HOST, OCS, REALM, Load, run_timely
from pipelines.diameter import encode
from pipelines.diameter.base import Identity
from pipelines.diameter.columns import TOTAL
from pipelines.diameter.dictionary import CREDIT_CONTROL
from pipelines.diameter.encode import Answers
from pipelines.diameter.server import DiameterServer
from pipelines.serve.scheduling import wake_soon
from schemas.columns import U8, Cells

MEBIBYTE = 1 << 20


async def grant(messages: Cells, units: Cells, _: U8) -> Answers:
    """A mebibyte to every service, whatever is asked."""
    given, grants = encode.answers(len(messages)), encode.grants(len(units))
    grants["message_row"], grants["unit_row"] = units["message_row"], range(len(units))
    grants["granted"], grants["granted_total_octets"] = TOTAL, MEBIBYTE
    return Answers(given, grants)


async def serve() -> None:
    """Until standard input ends."""
    wake_soon()
    server = DiameterServer(
        Identity(OCS.decode(), REALM.decode(), 1, applications=(CREDIT_CONTROL,)),
        frozenset({(HOST.decode(), REALM.decode())}), grant)
    print(await server.start(port=0), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


def measure_bound(make, rates: list[int], seconds: float) -> None:  # type: ignore[no-untyped-def]
    """Lines of the table, of the machine alone."""
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.online_bound"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    assert server.stdin is not None and server.stdout is not None
    port = int(server.stdout.readline())

    async def go() -> None:
        load = Load()
        await load.connect(port)
        for rate in rates:
            tell(await load.run(make, rate, seconds), "nothing charged, nothing kept")

    try:
        run_timely(go())
    finally:
        server.stdin.close()
        server.wait(30)


if __name__ == "__main__":
    asyncio.run(serve())
