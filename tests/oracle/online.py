"""Sessions in real time, written from rating/README.md: dictionaries, whole numbers, one request after the other.

Prices are so many nanos a unit, without allowances: what a session owes is linear, so that this model can say to the
unit what may be granted. Requests are dictionaries; a request names its session, number, kind and services.
"""

from dataclasses import dataclass, field

SUCCESS, DENIED, NOT_APPLICABLE, LIMIT, UNKNOWN, NO_USER, FAILED = 2001, 4010, 4011, 4012, 5002, 5030, 5031
WINDOW = 63


@dataclass
class Account:
    money: int
    credit: int = 0
    shared: int | None = None
    denied: int = 0

    @property
    def payable(self):
        return max(self.money + self.credit, 0)


@dataclass
class Session:
    number: int
    is_open: bool
    due_s: int
    heard_us: int = 0
    code: int = SUCCESS
    account: int | None = None
    seen: set = field(default_factory=set)
    answers: dict = field(default_factory=dict)  # service -> (number, answer), the last one
    given: list = field(default_factory=list)    # (how many were given, number, row of its message, service, answer)
    wanted: dict = field(default_factory=dict)   # service -> units asked to be held


class OnlineOracle:
    def __init__(self, accounts, prices, quotas, least, supervision_s, remember_s, offline=(),
                 remember_answers=1_000_000):
        self.accounts, self.prices, self.quotas, self.least = accounts, prices, quotas, least
        self.supervision_s, self.remember_s, self.offline = supervision_s, remember_s, offline
        self.remember_answers, self.given = remember_answers, 0
        self.sessions, self.holds, self.uncollected, self.revenue, self.moved = {}, {}, 0, 0, 0
        self.unpriced = 0  # units that were reported of nobody's

    # money

    def payers(self, account):
        own = self.accounts[account]
        return [own] if own.shared is None else [own, self.accounts[own.shared]]

    def take(self, account, nanos):
        """What it takes of whom; and what is left."""
        taken = []
        for payer in self.payers(account):
            part = min(payer.payable, nanos)
            payer.money -= part
            nanos -= part
            taken.append((payer, part))
        return taken, nanos

    def give_back(self, key):
        for payer, part in self.holds.pop(key, ()):
            payer.money += part

    def charge(self, account, service, units):
        if account not in self.accounts:
            self.unpriced += units
            return
        due = self.prices[service] * units
        self.uncollected += self.take(account, due)[1]
        self.revenue += due

    def reserve(self, account, service, asked, key, least):
        price, most = self.prices[service], asked
        if price:
            most = self.affordable(account, price, asked)
        if most < min(least, asked):
            return 0
        self.holds[key] = self.take(account, price * most)[0]
        return most

    def affordable(self, account, price, asked):
        return min(asked, sum(payer.payable for payer in self.payers(account)) // price)

    # requests

    def serve(self, block, received_us):
        """Answers of the services of a block of messages, in order; money moves at its end."""
        later = []
        found = [self.message(message, received_us, later) for message in block]
        for act in later:
            act()
        return [self.told(m, place, answer) for m, answers in zip(block, found, strict=True)
                for place, answer in enumerate(answers)]

    def told(self, m, place, answer):
        """An answer as it is in the end: one of an event is its message's, a repeated one is the first one's."""
        again = answer.pop("again", None)
        if again is not None:
            answer = self.again(m, place, *again)
        if m["kind"] == "event" and answer["message"] == SUCCESS:
            answer["message"] = answer["code"]
        if again is None:
            self.given += 1
            self.sessions[m["session"]].given.append((self.given, m["number"], place, m["services"][place]["name"],
                                                      dict(answer)))
        return answer

    def again(self, m, place, session, near, last, code):
        """What a request was answered that came before, as far as that is remembered."""
        name = m["services"][place]["name"]
        known = [(at, of, answer) for nth, number, at, of, answer in session.given
                 if near and number == m["number"] and nth > self.given - self.remember_answers]
        if known:
            code = known[-1][2]["message"]
        same = ([answer for at, of, answer in known if of == name and at == place]
                or [answer for _, of, answer in known if of == name])
        answer = {"code": code, "granted": None, "due": None, "final": False, "message": code}
        if same:
            answer = dict(same[-1])
        elif last is not None:
            answer |= {key: last[key] for key in ("code", "granted", "due", "final")}
        return answer | {"repeated": True}

    def message(self, m, received_us, later):
        key, number, kind = m["session"], m["number"], m["kind"]
        begins = kind in ("initial", "event")
        session = self.sessions.get(key)
        if session is None:
            stays = self.supervision_s if kind == "initial" else self.remember_s
            session = self.sessions[key] = Session(number, False, received_us // 1_000_000 + stays)
            verdict = "new" if begins else "unknown"
        else:
            verdict = self.verdict(session, number, begins)
        session.heard_us = max(session.heard_us, received_us)
        if verdict == "repeated":
            return self.repeat(session, m)
        message_code = UNKNOWN if verdict == "unknown" else SUCCESS
        if verdict == "new" and kind == "initial":
            self.release(key, session)
            session.is_open = True
        if m["account"] != "same" or session.account is None:
            session.account = None if m["account"] in ("same", "nobody") else m["account"]
        who = session.account
        if verdict == "new" and who is None:
            message_code = NO_USER
        answers, refusals, wishes = [], 0, 0
        for s in m["services"]:
            name = s["name"]
            answer = {"code": message_code, "granted": None, "due": None, "final": False, "repeated": False}
            hold = (key, name)
            reported = s.get("used", 0) + s.get("after", 0)
            if reported:
                self.give_back(hold)
                self.charge(who, m["service"], reported)
            if verdict == "late":
                answer["code"] = SUCCESS
                if reported and session.wanted.get(name):
                    self.reserve(who, m["service"], session.wanted[name], hold, 1)  # what it has, or what is left
                answers.append(answer)
                continue
            if kind == "event":
                self.event(m, s, who, answer, later)
            elif "requested" in s and kind != "terminate" and verdict == "new":
                wishes += 1
                refused = message_code == SUCCESS and self.accounts[who].denied
                if message_code == SUCCESS and name[0] in self.offline:
                    answer["code"] = NOT_APPLICABLE
                elif refused:
                    refusals += 1
                    answer.update(code=refused, granted=0)
                elif message_code != SUCCESS:
                    answer["granted"] = 0
                self.give_back(hold)
                session.wanted.pop(name, None)
                if answer["code"] == SUCCESS:
                    quota = self.quotas[m["service"]]
                    asked = min(s["requested"] or quota, quota)
                    granted = self.reserve(who, m["service"], asked, hold, self.least[m["service"]])
                    session.wanted[name] = asked
                    answer.update(granted=granted, final=granted < asked, code=SUCCESS if granted else LIMIT)
            else:
                self.give_back(hold)
                session.wanted.pop(name, None)
            if verdict == "new" and (kind == "event" or {"requested", "used", "after"} & s.keys()
                                     or name in session.answers):
                session.answers[name] = (number, answer)
            answers.append(answer)
        denied = kind == "initial" and wishes and refusals == wishes
        if denied:
            message_code = answers[-1]["code"]
        if verdict != "late":
            if kind == "terminate" or denied or (kind == "initial" and message_code == NO_USER):
                self.release(key, session)
                session.is_open = False
            session.code = message_code
        for answer in answers:
            answer["message"] = message_code
        return answers

    def verdict(self, session, number, begins):
        if number == session.number:
            return "repeated"
        if number > session.number:
            session.seen = {n for n in session.seen | {session.number} if number - n <= WINDOW}
            session.number = number
            return "new" if session.is_open or begins else "unknown"
        if session.number - number > WINDOW or number in session.seen:
            return "repeated"
        session.seen.add(number)
        return "late"

    def repeat(self, session, m):
        code = session.code if m["number"] == session.number else SUCCESS
        answers = []
        for s in m["services"]:
            number, last = session.answers.get(s["name"], (None, None))
            answers.append({"again": (session, session.number - m["number"] <= WINDOW,
                                      last if number == m["number"] else None, code)})
        return answers

    def event(self, m, s, who, answer, later):
        action, service = m["action"], m["service"]
        price, units = self.prices[service], s.get("requested") or self.quotas[service]
        if answer["code"] != SUCCESS:
            if "requested" in s:
                answer["granted"] = 0
            return
        if action == "debit" and self.accounts[who].denied:
            answer.update(code=self.accounts[who].denied, granted=0 if "requested" in s else None)
            return
        account = self.accounts[who]
        enough = self.affordable(who, price, units) == units if price else True
        if "money" in m:
            def move():
                nanos = m["money"]
                if action == "check":
                    answer["granted"] = int(account.money + account.credit >= nanos)
                elif action == "refund" or account.money + account.credit >= nanos:
                    account.money += nanos if action == "refund" else -nanos
                    self.moved += nanos if action == "refund" else -nanos
                    answer["due"] = nanos
                else:
                    answer["code"] = LIMIT
            later.append(move)
        elif action == "debit":
            answer.update(granted=units if enough else 0, due=price * units, code=SUCCESS if enough else LIMIT)
            if enough:
                self.charge(who, service, units)
        elif action == "refund":
            def refund():
                account.money += price * units
                self.moved += price * units
                answer["due"] = price * units
            later.append(refund)
        else:
            answer.update(granted=units if enough else 0, due=price * units)

    def release(self, key, session):
        for name in list(session.wanted):
            self.give_back((key, name))
        session.wanted.clear()

    def clock(self, now_us):
        """Sessions that were silent for too long are closed; those that ended long ago are forgotten."""
        now_s = now_us // 1_000_000
        for key, session in list(self.sessions.items()):
            while session.due_s <= now_s:
                real = session.heard_us // 1_000_000 + (self.supervision_s if session.is_open else self.remember_s)
                if real > session.due_s:
                    session.due_s = real
                elif session.is_open:
                    self.release(key, session)
                    session.is_open, session.due_s = False, now_s + self.remember_s
                else:
                    del self.sessions[key]
                    break
