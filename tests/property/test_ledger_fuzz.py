"""Whatever is done to the bytes of a signed ledger, `verify` finds it and nothing but LedgerError comes out."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.ledger import Ledger
from pipelines.ledger.verify import verify
from schemas.errors import LedgerError

KEY = Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    folder = tmp_path_factory.mktemp("fuzz") / "ledger"
    ledger = Ledger.open(folder, KEY)
    for name in ("mediation", "charging"):
        stream = ledger.stream(name)
        for i in range(3):
            stream.commit([stream.stage("amounts", pa.table({"amount": [i, 2 * i]})),
                           stream.stage_bytes("state", "book", b"abc")], positions={"in": (i, i + 1)}, state={"i": i})
        stream.close()
    ledger.cut("end")
    # What the ledger rests on; `ledger.sql` and the schema files are derived.
    files = [each.path for each in ledger.store.list_all("")
             if not each.path.startswith("_schema") and each.path != "ledger.sql"]
    yield folder, files
    shutil.rmtree(folder)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.integers(0, 1 << 30), at=st.floats(0, 1, exclude_max=True), how=st.sampled_from(
    ["flip", "cut", "drop", "double", "empty", "zeros", "insert"]), bit=st.integers(0, 7))
@example(choice=0, at=0.5, how="flip", bit=7)  # no UTF-8 any more: a cut, a head, a log entry
@example(choice=1, at=0.5, how="flip", bit=7)
@example(choice=3, at=0.5, how="flip", bit=7)
def test_any_change_is_found(master: tuple[Path, list[str]], choice: int, at: float, how: str, bit: int) -> None:
    folder, files = master
    path = folder / files[choice % len(files)]
    before = path.read_bytes()
    place = int(at * len(before))
    after = {
        "flip": before[:place] + bytes([before[place] ^ 1 << bit]) + before[place + 1:],
        "cut": before[:place],
        "drop": before[:place] + before[place + 1:],
        "double": before[:place] + before[place:place + 8] * 2 + before[place + 8:],
        "empty": b"",
        "zeros": before[:place] + bytes(len(before) - place),
        "insert": before[:place] + b" " + before[place:],
    }[how]
    path.write_bytes(after)
    try:
        report = verify(Ledger.open(folder), [KEY.public_key()])
        assert not report.sound or after == before, f"{path} {how} at {place} was not found"
        try:
            Ledger.open(folder).logs()
            Ledger.open(folder).cuts()
        except LedgerError:
            pass
    finally:
        path.write_bytes(before)
    assert verify(Ledger.open(folder), [KEY.public_key()]).sound


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.integers(0, 1 << 30))
def test_any_missing_file_is_found(master: tuple[Path, list[str]], choice: int) -> None:
    folder, files = master
    heads = [each for each in files if each.startswith("_heads")]
    cuts = [each for each in files if each.startswith("_cuts")]
    path = folder / files[choice % len(files)]
    before = path.read_bytes()
    path.unlink()
    try:
        found = not verify(Ledger.open(folder), [KEY.public_key()]).sound
        # The newest head or cut itself can be taken away unseen: that is why copies are kept elsewhere.
        assert found or str(path.relative_to(folder)) in heads + cuts
    finally:
        path.write_bytes(before)
