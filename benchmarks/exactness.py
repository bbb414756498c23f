"""Exactness: generated events priced and charged by the product and, step by step in fractions, by the oracle.

Each world is a tariff, accounts, balances, events and commands from one seed (`tests.property.rating_worlds`); it is
charged with its blocks cut anywhere and must agree bit for bit in charges, what nobody paid, use of allowances,
balances and sums of postings. A world that disagrees is made small before it is told. `make bench` runs a million.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random

from schemas.errors import ReferenceDataError
from tests.property.rating_checks import compile_world, describe, differences, run_product, sum_differences, told
from tests.property.rating_features import LANDED
from tests.property.rating_worlds import World, make_world, run_oracle

SMOKE = {"events": 1_000, "world": 100, "seed": 1, "processes": 1}
REAL = {"events": 1_000_000, "world": 1_000, "seed": 1, "processes": 2}
EXAMPLES = 5


def compare(world: World, compiled: object, seed: int) -> tuple[list[str], object, list[object]]:
    """(disagreements, the product's run, the oracle's results) of a world."""
    cuts = Random(seed)
    product = run_product(world, compiled, lambda events: [cuts.randrange(events)])
    oracle, expected = run_oracle(world)
    return differences(world, product, expected, oracle) + sum_differences(product), product, expected


def smallest(world: World, compiled: object, seed: int) -> World:
    """The world with as few steps as still disagree: halves are left out, then quarters, and so on."""
    size = len(world.steps) // 2
    while size:
        at = 0
        while at < len(world.steps):
            fewer = World(world.versions, world.decks, world.rows, world.steps[:at] + world.steps[at + size:],
                          world.features)
            if compare(fewer, compiled, seed)[0]:
                world = fewer
            else:
                at += size
        size //= 2
    return world


def one_world(seed: int, count: int, features: frozenset[str] = LANDED) -> dict[str, object]:
    """Events, rated ones, digest and disagreements of one seed. A world whose tariff is refused has no events."""
    world = make_world(Random(seed), features, count=count, small=True)
    try:
        compiled = compile_world(world)
    except ReferenceDataError as refused:
        return {"seed": seed, "events": 0, "rated": 0, "refused": str(refused), "digest": b"", "found": ""}
    found, product, expected = compare(world, compiled, seed)
    rated, suspended = told(product)
    text = ""
    if found:
        small = smallest(world, compiled, seed)
        text = "\n".join([f"seed {seed}", *compare(small, compiled, seed)[0][:5], describe(small)])
    digest = hashlib.sha256(repr((seed, sorted(rated.items()), sorted(suspended.items()))).encode()).digest()
    return {"seed": seed, "events": len(world.events), "rated": sum("charge" in (e or ()) for e in expected
                                                                  if isinstance(e, dict)),
            "refused": "", "digest": digest, "found": text}


def run(parameters: dict[str, int], features: frozenset[str] = LANDED) -> dict[str, object]:
    """Worlds until so many events were compared; the digest does not depend on the number of processes."""
    started, wanted, count = time.perf_counter(), parameters["events"], parameters["world"]
    events = rated = worlds = refused = 0
    found: list[str] = []
    digest = hashlib.sha256()
    first = parameters["seed"] << 32
    chunk = 16 * parameters["processes"]
    with ProcessPoolExecutor(parameters["processes"], get_context("spawn")) if parameters["processes"] > 1 else (
            _Here()) as pool:
        while events < wanted:
            seeds = range(first + worlds, first + worlds + chunk)
            for result in pool.map(one_world, seeds, [count] * chunk, [features] * chunk):
                events += int(str(result["events"]))
                rated += int(str(result["rated"]))
                refused += bool(result["refused"])
                digest.update(bytes(result["digest"]))  # type: ignore[arg-type]
                if result["found"]:
                    found.append(str(result["found"]))
            worlds += chunk
            print(f"\r{events:,} of {wanted:,} events, {len(found)} disagreements, "
                  f"{time.perf_counter() - started:,.0f} s", end="", file=sys.stderr, flush=True)
            if len(found) > 100:
                break
    print(file=sys.stderr)
    seconds = time.perf_counter() - started
    return {"events": events, "rated": rated, "worlds": worlds, "refused": refused, "disagreements": len(found),
            "features": len(features), "seconds": round(seconds, 1), "events_per_s": round(events / seconds),
            "digest": digest.hexdigest()[:32], "examples": found[:EXAMPLES]}


class _Here:
    """The pool of a single process."""

    def __enter__(self) -> "_Here":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    map = staticmethod(map)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--json", action="store_true")
    for name, value in REAL.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    parameters = SMOKE if given.smoke else {name: getattr(given, name) for name in REAL}
    found = run(parameters)
    print(f"seed {parameters['seed']}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if given.json:
        print(json.dumps(found, indent=1))
    else:
        print(f"{'events':>11} {'rated':>11} {'worlds':>7} {'refused':>8} {'features':>9} {'events/s':>9}"
              f" {'seconds':>9} {'disagreements':>14}  digest")
        print(f"{found['events']:>11,} {found['rated']:>11,} {found['worlds']:>7,} {found['refused']:>8,} "
              f"{found['features']:>9} {found['events_per_s']:>9,} {found['seconds']:>9,} "
              f"{found['disagreements']:>14}  {found['digest']}")
        for text in found["examples"]:  # type: ignore[attr-defined]
            print(text)
    if found["disagreements"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
