"""Laws of rating over generated worlds: price grows with use, threads and rows do not matter, money is conserved."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rating.book import BalanceBook
from rating.snapshot import same_state
from schemas.codes import LedgerAccount, Unit
from tests.oracle.rating.amounts import amount
from tests.property.rating_checks import describe, money, rows_of, run_product, told
from tests.property.rating_features import LANDED
from tests.property.rating_worlds import HORIZON_S, LATENESS_S, make_session, make_world
from tests.property.test_rating_oracle import world_of
from tests.rating_support import befriend, make_accounts

QUICK = settings(deadline=None, max_examples=4, phases=[Phase.explicit, Phase.generate],
                 suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 1 << 40)
MONOTONE = LANDED - {"volume"}


@QUICK
@given(seed=SEEDS)
def test_a_longer_session_never_costs_less(seed):
    """Prices are never below zero, so that what a session has cost stays owed while it goes on.

    The tariff is monotone where it has no volume tiers: graduated slots, flat ones, free parts, minima, maxima (`then
    free` too), percentages and amounts off, own prices of buckets only add up or stand still. What is compared is one
    session from the same balances, ended earlier and later.
    """
    r = Random(seed)
    world, compiled = world_of(seed, MONOTONE, count=1)
    whole, _ = make_session(r, world)
    segments = whole.get("segments", 0) // whole["quantity"]
    before = None
    for used in sorted({r.randrange(whole["quantity"] + 1) for _ in range(4)} | {whole["quantity"]}):
        step = whole | {"quantity": used} | ({"segments": segments * used} if segments else {})
        rated, suspended = told(run_product(replace(world, steps=[step]), compiled))
        if suspended:
            return
        charge = rated[step["id"], 0]["charge_nanos"]
        assert before is None or charge >= before, (used, describe(replace(world, steps=[step])))
        assert charge >= 0
        before = charge


@QUICK
@given(seed=SEEDS)
def test_two_threads_charge_two_books_as_one_thread_does(seed):
    """The same world in two books at once, its blocks cut differently in each: the same rows, state and balances."""
    world, compiled = world_of(seed)
    alone = run_product(world, compiled)
    cuts = [Random(seed + n) for n in range(2)]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda r: run_product(world, compiled, lambda events: [r.randrange(events)]), cuts))
    for one in both:
        assert told(one) == told(alone)
        assert same_state(one.book, alone.book)
        assert rows_of(one.book.balances(compiled, 0)) == rows_of(alone.book.balances(compiled, 0))


@QUICK
@given(seed=SEEDS)
def test_the_rows_that_accounts_have_in_the_book_do_not_matter(seed):
    """Accounts opened in another order, a family's head before or after its members: the same, in other rows."""
    world, compiled = world_of(seed)
    one = run_product(world, compiled)
    heads = {row["shared"] for row in world.rows if row["shared"]}
    first = [row for row in world.rows if row["account_id"] in heads]
    others = [row for row in world.rows if row["account_id"] not in heads]
    Random(seed).shuffle(others)
    book = BalanceBook.create(lateness_s=LATENESS_S, horizon_s=HORIZON_S)
    for number in range(len(others) + 1):  # one by one: each gets the next row of the book
        book.open_accounts(make_accounts(first + others[:number]), compiled, 0)
    befriend(book, world.rows)
    two = run_product(world, compiled, book=book)
    assert one.book.account_ids.tolist() != book.account_ids.tolist()
    assert told(one) == told(two)
    assert one.commands == two.commands
    assert rows_of(one.book.balances(compiled, 0)) == rows_of(book.balances(compiled, 0))


def moved_by_commands(world, run):
    """Money that the commands themselves name and that was carried out."""
    total = 0
    for step in world.steps:
        if step.get("kind") in ("top_up", "adjust") and run.commands[step["id"]] is None:
            total += amount(step["amount"])
    return total


@QUICK
@given(seed=SEEDS)
def test_money_and_units_are_conserved(seed):
    """Closing = opening + top-ups, adjustments, grants, bonuses - paid charges and fees - expiry, in money and units.

    Charges come from the rated rows, commands' amounts from the commands, the rest from postings; the closing from the
    book. Units per unit: granted - taken - expired.
    """
    world, compiled = world_of(seed)
    run = run_product(world, compiled)
    posted, rated = {}, []
    for part in run.parts:
        rated += rows_of(part.rated)
        for row in rows_of(part.posting):
            key = (LedgerAccount(row["ledger_account"]).name, row["unit"] == Unit.MONEY)
            posted[key] = posted.get(key, 0) + row["amount"]
    closing = {True: 0, False: 0}
    for row in rows_of(run.book.balances(compiled, 0)):
        closing[row["unit"] == Unit.MONEY] += row["amount"]
    opening = sum(amount(row["opening"]) for row in world.rows)
    paid = sum(row["charge_nanos"] - row["uncollected_nanos"] for row in rated)
    lost = -posted.get(("UNCOLLECTED", True), 0) - sum(row["uncollected_nanos"] for row in rated)  # of fees
    fees = sum(posted.get((name, True), 0) for name in ("FEES", "TAX", "REVENUE")) - sum(
        row["charge_nanos"] for row in rated)
    granted = -posted.get(("GRANT", True), 0)
    assert money(closing[True]) == opening + moved_by_commands(world, run) + money(
        granted - paid - (fees - lost) - posted.get(("EXPIRY", True), 0))
    assert posted.get(("CLEARING", True), 0) == 0
    assert lost >= 0 and fees >= lost and granted >= 0
    taken = sum(max(row["allowance_quantity"], 0) for row in rated)
    assert posted.get(("CONSUMED", False), 0) == taken
    assert closing[False] == -posted.get(("GRANT", False), 0) - taken - posted.get(("EXPIRY", False), 0)


def test_the_laws_are_about_worlds_in_which_something_happens():
    """A world has charges, commands, fees, expiry and grants in it."""
    wanted = {"commands", "fees", "granted", "rollover", "tax"}
    seed = next(n for n in range(1000) if wanted <= (on := make_world(Random(n), LANDED).features) and len(on) < 25)
    world, compiled = world_of(seed, count=250)
    run = run_product(world, compiled)
    seen = {LedgerAccount(row["ledger_account"]).name for part in run.parts for row in rows_of(part.posting)}
    assert {"BALANCE", "REVENUE", "ALLOWANCE", "GRANT", "UNCOLLECTED", "FEES"} <= seen
    assert len(seen) >= 8, seen
