"""What a charging node would have written: rows of `grant` in the ledger of a home, by the ledger's own interfaces."""

from collections.abc import Sequence

from pipelines.charging.node import NO_FILE
from pipelines.home import Home
from pipelines.journal import Block, Journal
from pipelines.keys import Keys
from pipelines.ledger import Ledger, Rows
from schemas.columns import ABSENT, Cells
from schemas.online import GRANT


def write_grants(home: Home, rows: Sequence[dict[str, int]], source: str = "gy") -> None:
    """One journal entry and one commit of charging with these rows. The home has had a run, which opened its accounts.
    """
    ledger = Ledger.open(home.ledger, Keys.open(home.keys).signing_key)
    stream = ledger.stream("charging")
    with Journal.open(home.journal) as journal:
        position = journal.append([Block(int(stream.state["mediation_version"]), NO_FILE, 0, 0)])
    cells = Cells.empty(GRANT, len(rows), fill=ABSENT)
    for i, row in enumerate(rows):
        for name, value in ({"source": 0, "file_id": 0, "record_offset": position, "record_length": 0,
                             "container_index": 0, "released": 0, "final_action": 0} | row).items():
            cells[name][i] = value
    cells["journal_position"] = position
    staged = stream.stage("grant", Rows(cells, {"source": [source]}))
    reference = next((e.reference for e in reversed(ledger.logs()["charging"].entries) if e.reference), {})
    stream.commit([staged], positions={"journal": (position, position + 1)}, state=stream.state, reference=reference)
    stream.close()
