"""What becomes of containers of usage that was charged online: lists and dictionaries, read from docs/charged_once.md.

Shares no code with the product. Times and quantities are plain numbers; a row of what was charged online, and a
container, are dictionaries.
"""

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]
Stretch = tuple[int, int, int, Row]
Share = tuple[Row, tuple[int, int], int, bool]  # first report, when, how much, whether it was straddled


def same_usage(container: Row, row: Row, tolerate_group: bool = False) -> bool:
    """Whether a row of what was charged online is of the container's bearer, rating group and service."""
    if row["charging_id"] != container["charging_id"]:
        return False
    if row["gateway"] is not None and container["gateway"] is not None:
        if row["gateway"] != container["gateway"]:
            return False
    elif row["service_id"] != container["service_id"]:
        return False
    if tolerate_group:
        return True
    if row["group"] is None:
        if row["used"] is None and container["group"] is not None:
            return False
    elif row["group"] != container["group"]:
        return False
    return row["identifier"] is None or container["identifier"] is None or row["identifier"] == container["identifier"]


def meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """More in common than a border; a moment must lie within."""
    if a[0] == a[1] or b[0] == b[1]:
        return a[0] <= b[1] and b[0] <= a[1]
    return a[0] < b[1] and b[0] < a[1]


@dataclass
class ChargedOnce:
    """wait, tolerance: of the stream, in its unit of time. fates: (what, share) by container number."""

    wait: int
    tolerance: int
    known: list[Row] = field(default_factory=list)
    taken: list[Share] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    fates: dict[int, tuple[str, int]] = field(default_factory=dict)

    def file(self, known: list[Row], containers: list[Row], mark: int) -> int:
        """A file, when so much was known; returns the record time behind it. mark: before it."""
        self.known = known
        waiting, self.waiting = self.waiting, []
        for container in waiting:
            self.ask(container, mark)
        for container in containers:
            mark = max(mark, container["opened"])
            self.ask(container, mark)
        return mark

    def ask(self, container: Row, mark: int) -> None:
        span = (container["start"], container["end"])
        stretches = self.stretches(container)
        inside = [s for s in stretches if s[0] - self.tolerance <= span[0] and span[1] <= s[1] + self.tolerance]
        touched = inside or [s for s in stretches if meet((s[0], s[1]), span)]
        if not inside and mark < span[1] + self.wait and self.may_be_reported(container):
            self.waiting.append(container)
            self.fates[container["number"]] = ("waits", 0)
            return
        if not touched:
            self.fates[container["number"]] = ("charged", 0)
            return
        shares = [s for s in self.taken if same_usage(container, s[0])]
        left, seen, straddled = 0, list[Stretch](), False
        for stretch in touched:
            if stretch in seen:
                continue
            pool, connected = self.pool([stretch], stretches, shares)
            seen += pool
            straddled = straddled or any(share[2] for share in connected)
            left += max(0, sum(s[2] for s in pool) - sum(share[2] for share in shares if any(
                meet((s[0], s[1]), share[1]) for s in pool)))
        whole = bool(inside) and not straddled
        share = container["quantity"] if whole else min(container["quantity"], left)
        if share or not container["quantity"]:
            # Of those who may draw on the first report, nobody can take it again.
            since, until = touched[0][0], touched[-1][1]
            where = (min(max(span[0], since), until), max(min(span[1], until), since))
            self.taken.append((touched[0][3], where, share, not inside))
        what = "matched" if share == container["quantity"] else "part" if share else "charged"
        self.fates[container["number"]] = (what, share)

    def pool(self, touched: list[Stretch], stretches: list[Stretch], shares: list[Share]
             ) -> tuple[list[Stretch], list[Share]]:
        """Stretches that containers which straddled them connect with these, and those containers' shares."""
        pool, connected, more = list(touched), list[Share](), True
        while more:
            more = False
            for share in shares:
                if share[3] and share not in connected and any(meet((s[0], s[1]), share[1]) for s in pool):
                    connected.append(share)
                    more = True
            for stretch in stretches:
                if stretch not in pool and any(meet((stretch[0], stretch[1]), share[1]) for share in connected):
                    pool.append(stretch)
                    more = True
        return pool, connected

    def stretches(self, container: Row) -> list[Stretch]:
        """Uninterrupted online reports: (since, until, quantity, first of them), by time."""
        reports = []
        for place, row in enumerate(self.known):
            if row["used"] is None or not same_usage(container, row):
                continue
            since = row["since"]
            if since is None:
                since = row["at"]
                if row["used"] == 0:  # nothing, since it was heard of before
                    since = max([other["at"] for other in self.known[:place] if other["session"] == row["session"]
                                 and other["group"] == row["group"] and other["identifier"] == row["identifier"]
                                 and other["at"] < row["at"] and not other["refused"]], default=since)
            reports.append((since, place, row["at"]))
        found: list[Stretch] = []
        for since, place, until in sorted(reports):
            row = self.known[place]
            if found and since <= found[-1][1] + self.tolerance:
                first = found.pop()
                found.append((first[0], max(first[1], until), first[2] + row["used"], first[3]))
            else:
                found.append((since, until, row["used"], row))
        return found

    def may_be_reported(self, container: Row) -> bool:
        """Whether a session that asked for this usage is open and was not heard of since its end."""
        for session in {row["session"] for row in self.known}:
            mine = [row for row in self.known if row["session"] == session]
            of_bearer = [row for row in mine if same_usage(container, row, tolerate_group=True)]
            words = [row for row in of_bearer if not row["refused"] and same_usage(container, row)]
            begun = [row["at"] if row["since"] is None else row["since"] for row in words]
            if not words or min(begun) > container["end"]:
                continue
            if any(row["closes"] for row in of_bearer):
                continue
            if max(row["at"] for row in words) < container["end"] - self.tolerance:
                return True
        return False
