"""Other tariffs for a node that goes on answering: activated, and rolled back.

In numbered steps: 1 a thread reads the folder (or what the home keeps), compiles it and looks whether the book can be
charged by it; 2 it is kept, and what is to be in force is noted in the home; 3 between two ticks the node takes it,
with an entry of the journal that replay understands; 4 that is durable, and told. Refused in step 1 or 3, nothing has
changed. Only tariffs: what else has changed in the operator's folder waits for the next start.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.corrections.kept import keep_reference, keep_texts, kept_tariffs, read_texts, tariffs_of_texts
from pipelines.reference_in_force import Activated, read_activated, write_activated
from pipelines.serve.node import OnlineNode
from pipelines.serve.takeover import check_takeover
from rating.states import refusal_codes
from reference_data.snapshot import Snapshot
from reference_data.tariffs.compile import Tariffs
from reference_data.tariffs.diff import compare
from schemas.errors import LedgerError, ReferenceDataError
from schemas.timepoint import format_time, parse_time


@dataclass(frozen=True)
class _Prepared:
    reference: Snapshot
    activated: Activated


class Activation:
    """Activates tariffs for one node, one after the other."""

    def __init__(self, node: OnlineNode) -> None:
        self._node, self._one = node, asyncio.Lock()
        self._former: Snapshot | None = None  # whoever goes back is in a hurry: nothing is compiled for that
        self._read: tuple[dict[str, str], Tariffs] | None = None

    async def activate(self, tariffs: str = "", rollback: bool = False, only_from: str = "", who: str = ""
                       ) -> dict[str, Any]:
        """Have the tariffs of the operator's folder in force, or kept ones: by their hash or its beginning, or, with
        rollback, those before the last activation. only_from: refuse what changes prices before then.

        Returns what is in force. Raises ChargingError: refused, and nothing has changed; or StoppedError.
        """
        node = self._node
        async with self._one:
            began = time.perf_counter()
            was = node.reference
            try:
                prepared = await asyncio.to_thread(self._prepare, tariffs, rollback, only_from)
                reference = prepared.reference
                self._check_run(reference)
                before = await asyncio.to_thread(self._keep, prepared)
            except OSError as error:
                raise LedgerError(f"the tariffs cannot be read or kept: {error}", "a folder, and room") from error
            if reference is was:
                return self._said(False, began)
            try:
                await node.switch(reference, lambda: self._check_run(reference), tariffs=reference.tariffs.content_hash,
                                  before=was.tariffs.content_hash, who=who)
            except ReferenceDataError:
                await asyncio.to_thread(write_activated, node.home, before, node.disk)
                raise
            self._former = was
            return self._said(True, began)

    def _prepare(self, wanted: str, rollback: bool, only_from: str) -> _Prepared:
        """Step 1."""
        node = self._node
        now, noted = node.reference.tariffs, read_activated(node.home)
        folder, problem = self._folder()
        if rollback:
            if noted is None or not noted.before or wanted:
                raise LedgerError("a rollback, and kept tariffs too" if wanted else "nothing was activated over this "
                                  "home that could be rolled back", "one of the two" if wanted else "an activation",
                                  "see which tariffs are kept with `tarifa tariff kept`")
            wanted = noted.before
        if wanted:
            tariffs = self._kept(_kept_hash(node.home.reference, wanted))
        elif problem is not None:
            raise problem
        else:
            assert folder is not None
            tariffs = folder
        same = tariffs.content_hash == now.content_hash
        activated = Activated(folder.content_hash if folder else "", tariffs.content_hash,
                              (noted.before if noted else "") if same else now.content_hash)
        if same:
            return _Prepared(node.reference, activated)
        if only_from:
            _check_from(now, tariffs, only_from)
        check_takeover(node.book, now, tariffs, time.time_ns() // 1000)
        former = self._former
        reference = former if former is not None and former.tariffs is tariffs else node.reference.with_tariffs(tariffs)
        refusal_codes(tariffs)  # both are kept, and the first requests need not wait for them
        assert tariffs.rolls is not None
        return _Prepared(reference, activated)

    def _folder(self) -> tuple[Tariffs | None, ReferenceDataError | None]:
        """Tariffs of the operator's folder, kept; or what is wrong with them. What is compiled is what is kept, whoever
        writes into the folder meanwhile."""
        node = self._node
        try:
            texts = read_texts(node.source.operator / "tariffs")
            if self._read is None or self._read[0] != texts:
                self._read = texts, tariffs_of_texts(texts)
        except ReferenceDataError as problem:
            return None, problem
        except (ValueError, RecursionError) as problem:
            return None, ReferenceDataError(f"tariffs that cannot be read: {problem}", "YAML and CSV in UTF-8")
        tariffs = self._read[1]
        keep_texts(node.home, texts, tariffs.content_hash, node.disk)
        return tariffs, None

    def _kept(self, content_hash: str) -> Tariffs:
        for known in (self._node.reference, self._former):
            if known is not None and known.tariffs.content_hash == content_hash:
                return known.tariffs
        return kept_tariffs(self._node.home, content_hash)

    def _keep(self, prepared: _Prepared) -> Activated:
        """Step 2. Returns what was noted before."""
        node = self._node
        keep_reference(node.home, node.source.operator / "tariffs", prepared.reference, node.disk)
        now = node.reference.tariffs.content_hash
        before = read_activated(node.home) or Activated(now, now, "")
        write_activated(node.home, prepared.activated, node.disk)
        return before

    def _check_run(self, reference: Snapshot) -> None:
        """A run goes on reading numbers by the decks that it began with; where those are others, it must end first."""
        node = self._node
        before, after = node.reference.deck_prefixes, reference.deck_prefixes
        same = before.slots.shape == after.slots.shape and (before.slots == after.slots).all() \
            and (before.leaves == after.leaves).all()
        if node.run_pid and not same:
            raise ReferenceDataError(f"process {node.run_pid} runs over this home and reads numbers by decks with "
                                     "other prefixes", "a run that has ended", "stop it, activate, then run again")

    def _said(self, changed: bool, began: float) -> dict[str, Any]:
        node, now_us = self._node, time.time_ns() // 1000
        tariffs = node.reference.tariffs
        version = tariffs.version_at(now_us)
        later = [v for v in tariffs.versions if v.active_from_us > now_us]
        noted = read_activated(node.home)
        return {"changed": changed, "folder": noted.folder if noted is not None else "",
                "tariffs": tariffs.content_hash, "reference": node.reference.content_hash,
                "version": version.name if version else None,
                "later": [{"version": v.name, "from": format_time(v.active_from_us)} for v in later],
                "seconds": round(time.perf_counter() - began, 3),
                "switch_ms": round(1000 * node.counters.switch_s, 3) if changed else 0.0}


def _kept_hash(folder: Path, wanted: str) -> str:
    """The one that is kept whose hash begins so."""
    known = [path.name[len("tariffs-"):-len(".json")] for path in folder.glob("tariffs-*.json")]
    found = [each for each in known if each.startswith(wanted)] if len(wanted) >= 8 else []
    if len(found) != 1:
        raise LedgerError(f"{len(found)} kept tariffs have a hash that begins with {wanted[:64]!r}",
                          "one, eight characters at least", "see them with `tarifa tariff kept`")
    return found[0]


def _check_from(before: Tariffs, after: Tariffs, text: str) -> None:
    """Refuse what is not the same for usage before an instant."""
    try:
        from_us = parse_time(text, after.versions[-1].time_zone)
    except (ValueError, OverflowError):
        raise ReferenceDataError(f"--from {text[:40]!r}", "a time such as 2026-12-01T00:00:00") from None
    old, new = ({v.name: v for v in t.versions if v.active_from_us < from_us} for t in (before, after))
    changed = [name for name in sorted(old.keys() | new.keys()) if name not in old or name not in new or compare(
        old[name], new[name]) or old[name].active_from_us != new[name].active_from_us]
    if changed:
        raise ReferenceDataError(f"version {', '.join(changed)} is not as it is in force before {format_time(from_us)}",
                                 "what changes, in versions that begin then", "leave out --from, or correct the folder")
