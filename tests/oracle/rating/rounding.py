"""What is rounded once: a session, a report, a day. Each report is charged the difference."""

from datetime import timedelta

from tests.oracle.rating.amounts import amount, local_day, midnight_us, round_money
from tests.oracle.rating.pricing import Price


class Scope:
    """The row that a report's exact price is added to before it is rounded."""

    def __init__(self, oracle, choice, account, us, price, over):
        rounding = choice.terms.get("rounding", {"rule": "half_up", "decimals": 4})
        self.rule, self.decimals = rounding["rule"], int(rounding["decimals"])
        self.percent = amount(choice.terms.get("tax", {"percent": 0})["percent"])
        self.price = price
        scope = "session" if over else rounding.get("scope", "session")
        if scope == "session":
            self.row = price
        elif scope == "report":
            self.row = Price(price.terms)
        else:
            day = local_day(us, account.zone)
            forgotten = oracle.clock_us is not None and midnight_us(
                day + timedelta(days=1), account.zone) < oracle.clock_us - oracle.horizon_us
            key = (account.account_id, price.terms, day)
            self.row = Price(price.terms) if forgotten else oracle.days.setdefault(key, Price(price.terms))

    def rounded(self, exact):
        """What the scope comes to when the price so far is `exact`."""
        return round_money(self.row.exact + exact - self.price.exact, self.rule, self.decimals)

    def due(self, exact):
        return self.rounded(exact) - self.row.charged

    def settle(self, exact):
        """(charge, its tax) of the report that brings the price to `exact`."""
        total, due = self.rounded(exact), self.due(exact)
        taxed = round_money(total * self.percent / (100 + self.percent), self.rule, self.decimals)
        tax = taxed - self.row.taxed
        self.row.exact += exact - self.price.exact
        self.row.charged, self.row.taxed = total, taxed
        self.price.exact = exact
        return due, tax
