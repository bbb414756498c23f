"""What tests of sessions in real time share: a tariff of linear prices, rules, and clients that misbehave."""

from reference_data.online import OnlineRules, ServiceRules
from schemas.codes import Service, Unit
from schemas.columns import ABSENT, Cells
from schemas.digits import pack
from schemas.online import REQUEST
from schemas.timepoint import parse_time

JANUARY = parse_time("2026-01-01T00:00:00+00:00")
NOON = parse_time("2026-06-01T12:00:00+00:00")
SECOND_US = 1_000_000
CENT = 10_000_000
PRICES = {"voice": CENT // 10, "data": 50, "sms": 7 * CENT, "generic": 0}
QUOTAS = {"voice": 60, "data": 1 << 20, "sms": 1, "generic": 10}
LEAST = {"voice": 5, "data": 1000, "sms": 1, "generic": 1}
SUPERVISION_S, REMEMBER_S, OFFLINE = 300, 200, 99
REMEMBER_ANSWERS = 60  # so few that repeats are of answers that are known, and of others
RULES = OnlineRules(supervision_s=SUPERVISION_S, remember_s=REMEMBER_S, remember_answers=REMEMBER_ANSWERS,
                    offline_rating_groups=(OFFLINE,),
                    **{name: ServiceRules(QUOTAS[name], LEAST[name], final="redirect", redirect_url="http://top.up")
                       for name in PRICES})
KINDS = ["initial", "update", "terminate", "event"]
ACTIONS = ["debit", "refund", "check", "enquiry"]
BARRED = 5


TARIFF = """version: t
active_from: 2026-01-01T00:00:00
time_zone: UTC
currency: EUR
decks: {main: d.csv}
rates:
  voice: {unit: second, slots: [{price: "0.001", per: 1, step: 1}]}
  data: {unit: octet, slots: [{price: "0.0000005", per: 10, step: 1}]}
  sms: {unit: message, slots: [{price: "0.07", per: 1, step: 1}]}
  free: {unit: unit, free: true}
plans:
  p:
    rounding: {rule: half_up, decimals: 9}
    prices:
      - {service: voice, rate: voice}
      - {service: data, rate: data}
      - {service: sms, rate: sms}
      - {service: generic, rate: free}
"""


def cells_of(block):
    """Messages as REQUEST cells."""
    rows = [(place, m, s) for place, m in enumerate(block) for s in m["services"]]
    cells = Cells.empty(REQUEST, len(rows), fill=ABSENT)
    for i, (place, m, s) in enumerate(rows):
        service = Service[m["service"].upper()]
        named = m["account"] not in ("same", "nobody")
        group, identifier = s["name"]
        for name, value in {
            "source": 0, "service": service, "direction": 0, "event_time_us": m["time_us"], "merged_count": 1,
            "unit": {"voice": Unit.SECOND, "data": Unit.OCTET, "sms": Unit.MESSAGE, "generic": Unit.UNIT}[m["service"]],
            "msisdn_token": ABSENT if m["account"] == "same" else 77, "account_id": m["account"] if named else ABSENT,
            "other_prefix": pack("4930123456"), "other_class": 0, "incomplete": 0, "roaming": 0,
            "session_hi": 900, "session_lo": m["session"], "rating_group": group, "service_identifier": identifier,
            "kind": KINDS.index(m["kind"]), "number": m["number"], "message": place,
            "action": ACTIONS.index(m["action"]) if "action" in m else ABSENT,
            "requested": s.get("requested", ABSENT), "used": s.get("used", ABSENT),
            "used_after": s.get("after", ABSENT), "money_nanos": m.get("money", ABSENT),
        }.items():
            cells[name][i] = value
    return cells


class Network:
    """Clients that send requests, some of them again, some later than others, some never."""

    def __init__(self, r):
        self.r, self.now_us, self.next, self.open, self.sent, self.delayed = r, NOON, 0, [], [], []

    def messages(self):
        r = self.r
        block = []
        for _ in range(r.choice((1, 1, 2, 5, 12))):
            kind = r.random()
            if kind < 0.12 and self.sent:
                block.append(r.choice(self.sent[-40:]))  # again
                continue
            if kind < 0.2 and self.delayed:
                block.append(self.delayed.pop(r.randrange(len(self.delayed))))
                continue
            message = self.message()
            self.sent.append(message)
            if r.random() < 0.08:
                self.delayed.append(message)
            elif r.random() < 0.97:
                block.append(message)
        return block

    def message(self):
        r = self.r
        choice = r.random()
        if choice < 0.15:
            return self.event()
        if choice < 0.4 or not self.open:
            self.next += 1
            service = r.choice(("voice", "data", "data", "generic"))
            names = [(ABSENT, ABSENT)] if service == "voice" else [
                (group, r.choice((ABSENT, 7))) for group in r.sample((1, 2, 3, OFFLINE), r.choice((1, 2, 3)))]
            call = {"session": self.next, "service": service, "names": names, "number": 0,
                    "account": r.choice((1, 2, 2, 3, 3, 4, BARRED, "nobody"))}
            self.open.append(call)
            return self.request(call, "initial")
        call = r.choice(self.open)
        call["number"] += r.choice((1, 1, 1, 1, 2))
        if choice < 0.55:
            self.open.remove(call)
            return self.request(call, "terminate")
        if choice < 0.57:
            return self.request(call, "initial")
        if choice < 0.6:
            call = call | {"session": 5000 + r.randrange(50)}  # of a session that nobody began
        return self.request(call, "update")

    def request(self, call, kind):
        r = self.r
        services = []
        for name in r.sample(call["names"], r.randint(1, len(call["names"]))):
            service = {"name": name}
            if kind != "terminate" and r.random() < 0.9:
                service["requested"] = r.choice((0, 1, 10, 60, 500, 100_000))
            if kind != "initial" and r.random() < 0.9:
                service["used"] = r.choice((0, 1, 30, 60, 2000, 200_000))
                if r.random() < 0.1:
                    service["after"] = r.choice((0, 5))
            services.append(service)
        account = call["account"] if kind == "initial" or r.random() < 0.5 else "same"
        return {"session": call["session"], "number": call["number"], "kind": kind, "account": account,
                "service": call["service"], "services": services, "time_us": self.now_us}

    def event(self):
        r = self.r
        self.next += 1
        event = {"session": self.next, "number": 0, "kind": "event", "service": r.choice(("sms", "voice")),
                 "account": r.choice((1, 2, 3, 4, BARRED, "nobody")), "action": r.choice(ACTIONS),
                 "services": [{"name": (ABSENT, ABSENT)}], "time_us": self.now_us}
        if event["action"] != "enquiry" and r.random() < 0.4:
            event["money"] = r.choice((1, 50)) * CENT
        else:
            event["services"][0]["requested"] = r.choice((0, 1, 3))
        return event
