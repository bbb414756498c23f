"""Rating as docs/tariffs.md says it, one step at a time, in fractions. Shares no code with the product.

A tariff is the plain structure of its YAML file, with text or whole numbers as scalars. Money is a Fraction of a unit
of currency until it is rounded. One idea a file:

    amounts    quantities, amounts, instants, rounding, exchange
    cycles     days, weeks, months of an account
    timings    which band holds an instant
    scopes     which usage something is for
    selecting  which plan and price an event meets
    pricing    what each step costs
    rounding   what is rounded once
    buckets    what is granted, used, rolled over, expired
    counters   what adds up over a cycle, and its thresholds
    states     what a state permits
    fees       what time brings
    commands   what moves balances otherwise
    charging   one event, top to bottom

An event is a dict: service, direction, account_id, time_us, quantity, and where it has them number, other_class,
other_network, other_token, calling, category, segments, plmn, rating_group, service_identifier, apn, snssai, rat,
session.
"""

from tests.oracle.rating.accounts import Account
from tests.oracle.rating.charging import Oracle

__all__ = ["Account", "Oracle"]
