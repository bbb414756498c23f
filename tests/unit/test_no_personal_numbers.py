"""No personal number outside vault and keys: not in the ledger, the archive, journal, snapshots, names or output."""

import datetime
import subprocess
import sys
from pathlib import Path

from pipelines.sample.generate import generate
from tests.support.privacy import Searcher, find_personal, operator_numbers

# In a process of its own: it starts threads, and tests of this one may fork.
RUN = """
import logging, sys
from pathlib import Path
from pipelines.home import Home, Input
from pipelines.run import run
logging.basicConfig(level=logging.DEBUG)
print(run(Input(Path(sys.argv[1])), Home(Path(sys.argv[2]))))
"""


def test_a_run_leaves_no_personal_number_but_in_the_vault(tmp_path: Path) -> None:
    source, home = tmp_path / "input", tmp_path / "home"
    generate(source, 150, datetime.date(2026, 3, 2), 1, 11, files_per_source=1)
    numbers = operator_numbers(source)
    assert len(numbers) > 300
    searcher = Searcher(numbers)
    # The search finds them where they are meant to be: in the network's own files, in TBCD and in text.
    files = [p.read_bytes() for p in (source / "inbox").rglob("*") if p.is_file()]
    encodings = {encoding for content in files for _, encoding, _ in searcher.in_octets(content)}
    assert {"ASCII", "TBCD"} <= encodings
    done = subprocess.run([sys.executable, "-c", RUN, source, home], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert {"ledger", "vault", "keys", "archive", "journal"} <= {p.name for p in home.iterdir()}
    assert sum(p.suffix == ".parquet" for p in home.rglob("*")) > 5
    assert find_personal(home, searcher) == []
    assert list(searcher.in_octets(done.stdout + done.stderr)) == []
