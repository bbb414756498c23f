"""`tarifa rerate`: the past under the tariffs it should have had."""

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.corrections.kept import keep_tariffs
from pipelines.corrections.layers import FAR_AHEAD_US, LONG_AGO_US
from pipelines.corrections.prepare import Prepared, Wanted, prepare
from pipelines.durable import Disk
from pipelines.home import Home, Input
from pipelines.keys import Keys
from pipelines.run import Run, RunOptions
from reference_data.snapshot import load_snapshot
from reference_data.tariffs.compile import Tariffs, load_tariffs
from schemas.codes import CorrectionKind
from schemas.columns import I64
from schemas.errors import LedgerError, ReferenceDataError
from schemas.timepoint import FIRST_YEAR

ATTEMPTS = 3  # without holding up a run; then once more, holding it


@dataclass(frozen=True)
class Request:
    """What to rerate. tariff: a version of the operator's, or a folder; "" for the operator's folder as it is now.

    accounts: ids, ascending; None for all. made_us: time of the correction.
    """

    made_us: int
    who: str
    why: str
    from_us: int = LONG_AGO_US
    to_us: int = FAR_AHEAD_US
    tariff: str = ""
    accounts: I64 | None = None
    as_charged: Path | None = None
    trust: bool = False


def rerate(source: Input, home: Home, request: Request, dry_run: bool = False, disk: Disk | None = None,
           between: Callable[[], None] | None = None) -> Prepared:
    """Correct. dry_run: only say what would come of it. between: called before each attempt to commit, by tests.

    Raises LedgerError, ReferenceDataError.
    """
    if request.from_us >= request.to_us:
        raise LedgerError("--from is not before --to", "a stretch of time")
    if not dry_run and not (request.who.strip() and request.why.strip()):
        raise LedgerError("who does this, and why, must be said", "--why TEXT", "it is kept with the correction")
    with tempfile.TemporaryDirectory(prefix="tarifa-") as scratch:
        folder = tariff_folder(source, request.tariff, Path(scratch))
        tariffs = load_tariffs(folder)
        wanted = Wanted(CorrectionKind.RERATE, request.made_us, request.who, request.why, request.from_us,
                        request.to_us, tariffs, request.accounts, as_charged=request.as_charged, trust=request.trust)
        if not dry_run:
            keep_tariffs(home, folder, tariffs, disk)
        return carry_out(source, home, wanted, dry_run, disk, between)


def carry_out(source: Input, home: Home, wanted: Wanted, dry_run: bool, disk: Disk | None,
              between: Callable[[], None] | None = None) -> Prepared:
    """Compute and commit; again when the journal has moved meanwhile."""
    reference = _reference(source, home)
    for _ in range(ATTEMPTS):
        prepared = prepare(source, home, wanted, reference, not dry_run, disk)
        if dry_run:
            return prepared
        if between is not None:
            between()
        with Correcting(source, home, disk) as job:
            if job.catch_up() == prepared.base:
                job.commit(prepared)
                return prepared
    with Correcting(source, home, disk) as job:
        job.catch_up()
        prepared = prepare(source, home, wanted, reference, True, disk)
        job.commit(prepared)
        return prepared


class Correcting(Run):
    """A run over nothing, which holds journal and streams while a correction is committed."""

    def __init__(self, source: Input, home: Home, disk: Disk | None) -> None:
        super().__init__(source, home, RunOptions(workers=1), disk)

    def __enter__(self) -> "Correcting":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def catch_up(self) -> int:
        """Charge what is left over from before, and settle it. Returns the journal's position."""
        self._catch_up()
        if not self._node.settled:
            self._settle()
        return self._node.position

    def commit(self, prepared: Prepared) -> None:
        if prepared.digest:
            self._owner.correct(prepared.base, prepared.digest, prepared.facts)
            self._forget_backed_out()
            self._settle()


def tariff_folder(source: Input, tariff: str, scratch: Path) -> Path:
    """The folder that `tariff` means. A version by name is in force from the beginning of time."""
    own = source.operator / "tariffs"
    if not tariff:
        return own
    if Path(tariff).is_dir():
        return Path(tariff)
    if not re.fullmatch(r"[\w.-]+", tariff) or not (own / f"{tariff}.yaml").is_file():
        raise ReferenceDataError(f"no tariff version is called {tariff!r}",
                                 "a folder, or one of " + ", ".join(p.stem for p in sorted(own.glob("*.yaml"))))
    target = scratch / "one-version"
    shutil.copytree(own, target)
    for path in target.glob("*.yaml"):
        if path.stem != tariff:
            path.unlink()
    path = target / f"{tariff}.yaml"
    path.write_text(re.sub(r"(?m)^active_from:.*$", f'active_from: "{FIRST_YEAR}-01-01T00:00:00Z"', path.read_text()))
    return target


def _reference(source: Input, home: Home) -> tuple[str, Tariffs]:
    snapshot = load_snapshot(source.operator, Keys.open(home.keys).token_key)
    return snapshot.content_hash, snapshot.tariffs
