"""Bad tariffs, each refused with its own message: file and line, what was found, what was expected."""

from pathlib import Path

import pytest

from reference_data.tariffs.compile import check_tariff, load_tariffs
from schemas.errors import ReferenceDataError

GOOD = """\
version: "t"
active_from: 2026-01-01T00:00:00
time_zone: Europe/Berlin
currency: EUR
decks: {main: main.csv}
timings:
  hours:
    - {band: peak, days: mon-fri, from: "08:00", to: "20:00"}
    - {band: calm, otherwise: true}
rates:
  cheap: {unit: second, slots: [{price: 0.10, per: 60, step: 1}]}
  text: {unit: message, slots: [{price: 0.09}]}
plans:
  basic:
    rounding: {rule: half_up, decimals: 4}
    allowances:
      - {name: minutes, unit: second, amount: 100, cycle: month, services: [voice], zones: [near]}
    prices:
      - {service: voice, zones: [near], rate: cheap}
      - {service: voice, zones: any, timing: hours, rates: {peak: cheap, calm: cheap}}
      - {service: sms, rate: text}
"""
DECK = "prefix,zone\n49,near\n33,far\n"
SLOT = "slots: [{price: 0.10, per: 60, step: 1}]"

CASES = {
    "not YAML": ("currency: EUR", "currency: [EUR", "not YAML"),
    "unknown key": ("currency: EUR", "currency: EUR\ncolour: red", "t.yaml:5: unknown key 'colour'"),
    "missing key": ("currency: EUR\n", "", "key 'currency' is missing"),
    "name twice": ("  text: {", "  cheap: {", "t.yaml:12: 'cheap' appears twice; expected each name once"),
    "version is not the file": ('version: "t"', 'version: "u"', "version 'u'; expected the file's name, 't'"),
    "time zone": ("Europe/Berlin", "Europe/Atlantis", "time zone 'Europe/Atlantis'"),
    "currency": ("currency: EUR", "currency: Euro", "currency 'Euro'"),
    "activation": ("2026-01-01T00:00:00", "soon", "'soon'; expected a time such as"),
    "no deck file": ("main.csv", "other.csv", "no deck 'other.csv'"),
    "bands overlap": ("- {band: calm, otherwise: true}", '- {band: late, from: "19:00", to: "21:00"}\n'
                      "    - {band: calm, otherwise: true}",
                      "overlaps another at mon 19:00"),
    "bands leave a gap": ("    - {band: calm, otherwise: true}\n", "", "leaves a gap from mon 00:00 to mon 08:00"),
    "empty band": ('from: "08:00", to: "20:00"', 'from: "08:00", to: "08:00"', "expected a span of time"),
    "time of day": ('"08:00"', '"8"', "'8'; expected a time of day"),
    "day": ("mon-fri", "mon-funday", "days 'mon-funday'"),
    "zero step": ("step: 1}", "step: 0}", "t.yaml:11: 0 seconds; expected at least 1"),
    "zero per": ("per: 60", "per: 0", "0 seconds; expected at least 1"),
    "price is no decimal": ("price: 0.10", "price: 1e-1", "'1e-1' is no decimal amount"),
    "price finer than nano": ("price: 0.10", "price: 0.0000000001", "at most 9 are kept"),
    "negative price": ("price: 0.10", "price: -0.10", "negative amount -0.10"),
    "unit of another service": ("per: 60", "per: 1 MiB", "'MiB' is no unit of seconds"),
    "slots overlap": (SLOT, "slots: [{price: 1}, {price: 2}]", "slots of rate 'cheap' overlap"),
    "slots do not begin at 0": (SLOT, "slots: [{from: 5, price: 1}]", "does not begin at 0"),
    "no slots": (SLOT, "connect_fee: 1", "rate 'cheap' has no slots"),
    "free and priced": (SLOT, "free: true, connect_fee: 1", "is free and has a price"),
    "unknown rate": ("rate: text", "rate: txt", "rate 'txt' is not declared"),
    "rate of another unit": ("rate: text", "rate: cheap", "rate 'cheap' counts seconds; expected messages"),
    "unknown timing": ("timing: hours", "timing: days", "timing 'days' is not declared"),
    "a band has no rate": ("{peak: cheap, calm: cheap}", "{peak: cheap}", "a rate for each of calm, peak"),
    "rate and timing": ("rate: text}", "rate: text, timing: hours}", "a price needs either"),
    "unknown zone": ("{service: voice, zones: [near], rate: cheap}", "{service: voice, zones: [moon], rate: cheap}",
                     "t.yaml:19: zone 'moon' is no zone of deck 'main'"),
    "unknown roaming zone": ("zones: [near], rate", "zones: [near], roaming: [eu], rate", "roaming zone 'eu'"),
    "unknown direction": ("zones: [near], rate", "zones: [near], direction: sideways, rate", "direction 'sideways'"),
    "prices overlap": ("{service: sms, rate: text}", "{service: sms, rate: text}\n      - {service: sms, rate: text}",
                       "t.yaml:22: plan 'basic': this price and the one on line 21 overlap"),
    "emergency is priced": ("{service: sms, rate: text}", "{service: voice, zones: [emergency], rate: cheap}",
                            "prices emergency calls"),
    "plan without its deck": ("    rounding:", "    deck: other\n    rounding:", "uses deck 'other'"),
    "rounding rule": ("half_up", "nearest", "'nearest'; expected one of up, down, half_up, half_even"),
    "rounding decimals": ("decimals: 4", "decimals: 10", "10; expected a whole number from 0 to 9"),
    "rounding scope": ("decimals: 4", "decimals: 4, scope: year", "'year'; expected one of session, report, day"),
    "cycle": ("cycle: month", "cycle: moon", "'moon'; expected one of none, day, month, week"),
    "allowance of another unit": ("services: [voice]", "services: [sms]", "sms counts messages"),
    "allowance zone": ("services: [voice], zones: [near]", "services: [voice], zones: [moon]", "zone 'moon'"),
    "allowance twice": ("    prices:", "      - {name: minutes, unit: message, amount: 1, cycle: day, "
                        "services: [sms]}\n    prices:", "named twice"),
    "tab": ("  cheap: {", "\tcheap: {", "t.yaml:11: a tab; expected spaces"),
    "near name": ("prices:\n", "price:\n", "did you mean 'prices'?"),
    "near choice": ("unit: message", "unit: messages", "correct `unit`: did you mean 'message'?"),
    "nothing": ("plans:\n", "plans:\n  empty:\n", "nothing was found; expected a mapping of names"),
    "text for a list": ("slots: [{price: 0.10, per: 60, step: 1}]", "slots: {price: 1}",
                        "a mapping was found; expected a list"),
    "prices overlap at some time": (
        "{service: sms, rate: text}", "{service: sms, rate: text, valid: {to: 2026-12-26}}\n"
        "      - {service: sms, rate: text, valid: {from: 2026-12-24}}",
        "t.yaml:22: plan 'basic': this price and the one on line 21 overlap from 2026-12-23T23:00:00Z on"),
    "a span of no time": ("rate: text}", "rate: text, valid: {from: 2026-12-24, to: 2026-12-24}}",
                          "expected a span of time"),
    "when": ("rate: text}", "rate: text, valid: {from: soon}}", "'soon'; expected a time"),
    "unknown calling zone": ("rate: text}", "rate: text, calling_zones: [moon]}", "calling zone 'moon' is no zone"),
    "network": ("rate: text}", "rate: text, network: mine}", "'mine'; expected one of on_net, off_net"),
    "friends": ("rate: text}", "rate: text, friends: perhaps}", "'perhaps'; expected one of true"),
    "fallback is missing": ("    rounding:", "    fallback: gone\n    rounding:", "back to 'gone', which is no plan"),
    "fallback in a circle": ("    rounding:", "    fallback: basic\n    rounding:", "in a circle: basic -> basic"),
    "unknown calendar": ("otherwise: true}", "otherwise: true}\n    - {band: calm, holidays: feasts}",
                         "calendar 'feasts' is not declared"),
    "month": ("days: mon-fri", "months: moon", "'moon'; expected numbers from 1 to 12"),
    "no exchange rate": ("cheap: {unit: second,", "cheap: {unit: second, currency: USD,",
                         "no exchange rate from USD to EUR"),
    "exchange with itself": ("currency: EUR", "currency: EUR\nexchange: [{from: EUR, to: EUR, rate: 1}]",
                             "from EUR to itself"),
    "unknown discount": ("    rounding:", "    discounts: [gone]\n    rounding:", "lists discount 'gone'"),
    "unknown counter": ("    rounding:", "    counters: [gone]\n    rounding:", "lists counter 'gone'"),
    "unknown bucket": ("currency: EUR", "currency: EUR\ntop_ups: [{bucket: gone}]", "bucket 'gone' is not declared"),
    "discount of nothing": ("currency: EUR", "currency: EUR\ndiscounts: {d: {cap: 1}}",
                            "has either a `percent` or an `amount`"),
    "discount of bands with a cap": (
        "currency: EUR", "currency: EUR\ndiscounts: {d: {percent: 5, cap: 1, timing: hours, bands: [calm]}}",
        "has a cap or is an amount"),
    "counter of two things": ("currency: EUR", "currency: EUR\ncounters: {c: {cycle: day, unit: second, events: true}}",
                              "counts nothing, or several things"),
    "leg without account": ("currency: EUR", "currency: EUR\nlegs: [{leg: carrier, plan: basic}]",
                            "has either `account`"),
    "leg of no plan": ("currency: EUR", "currency: EUR\nlegs: [{leg: carrier, account: 1, plan: gone}]",
                       "plan 'gone' is not declared"),
    "leg for nobody": ("currency: EUR", "currency: EUR\nlegs: [{leg: carrier, accounts: {}, plan: basic}]",
                       "leg 'carrier' charges nobody"),
    "leg of an unknown zone": (
        "currency: EUR", "currency: EUR\nlegs: [{leg: carrier, account: 1, plan: basic, zones: [moon]}]",
        "zone 'moon' is no"),
    "leg twice": ("currency: EUR", "currency: EUR\nlegs: [{leg: a, account: 1, plan: basic}, "
                  "{leg: a, account: 2, plan: basic}]", "leg 'a' is named twice"),
    "thirteen legs": ("currency: EUR", "currency: EUR\nlegs: [" + ", ".join(
        f"{{leg: l{n}, account: 1, plan: basic}}" for n in range(13)) + "]", "13 legs; expected at most 12"),
    "slice": ("currency: EUR", "currency: EUR\ndata_classes: [{class: web, snssais: [slow]}]", "slice 'slow'"),
    "at the maximum of nothing": (SLOT, SLOT + ", at_maximum: free", "at_maximum without a maximum"),
    "maximum below minimum": (SLOT, SLOT + ", minimum_charge: 2, maximum_charge: 1", "lies below its minimum"),
    "minimum over a counter": (SLOT, SLOT + ", over: c, minimum_charge: 2", "minimum_charge of a rate over a counter"),
    "flat and priced": (SLOT, "slots: [{price: 1, flat: 1}]", "either a `price` or a `flat` amount"),
    "flat slot that is split": (SLOT, "straddling: split, slots: [{flat: 1}]", "a flat slot (line 11) cannot be split"),
    "volume tiers of different steps": (
        SLOT, "tiers: volume, slots: [{price: 1}, {from: 9, price: 1, step: 2}]", "differ in more than their price"),
    "control character": ("currency: EUR", "currency: E\x07R", "t.yaml:4: a control character, 0x07"),
    "alias of itself": ("prices:\n", "prices: &p\n      - *p\n", "t.yaml:19: alias *p within what it stands for"),
    "nested without end": (SLOT, "slots: " + "[" * 100_000, "more than 50 lists and mappings within each other"),
    "merge": ("plans:\n", "plans:\n  <<: {x: 1}\n", "t.yaml:14: a merge of keys, <<"),
    "tag": ("price: 0.10", "price: !!python/object:os.system 0.10", "t.yaml:11: tag !!python/object:os.system"),
    "two documents": ("plans:\n", "---\nplans:\n", "found another document"),
    "date that is none": ("2026-01-01T00", "2026-02-30T00", "t.yaml:2: '2026-02-30T00:00:00'; expected a time"),
    "a year of no calendar": ("2026-01-01T00", "9999-01-01T00", "expected a time from 1990 to 2099"),
    "an hour that is skipped": ("2026-01-01T00:00:00", "2026-03-29T02:30:00",
                                "t.yaml:2: 2026-03-29T02:30:00, when the clocks of Europe/Berlin spring forward"),
    "valid from an hour that is skipped": ("rate: text}", "rate: text, valid: {from: '2026-03-29T02:30:00'}}",
                                           "t.yaml:21: 2026-03-29T02:30:00, when the clocks"),
    "until before from": ("rate: text}", "rate: text, valid: {from: 2026-05-01, to: 2026-04-01}}", "a span of time"),
    "currency that is none": ("currency: EUR", "currency: ZZZ", "t.yaml:4: currency 'ZZZ'; expected three letters"),
    "a number without end": ("per: 60", "per: " + "9" * 5000, "t.yaml:11: 5000 characters; expected whole seconds"),
    "digits of another script": ("decimals: 4", "decimals: ٤", "'٤' is no whole number"),
    "decimal comma": ("price: 0.10", 'price: "0,10"', "'0,10' is no decimal amount"),
    "not a number": ("price: 0.10", "price: .nan", "'.nan' is no decimal amount"),
    "step beyond any usage": ("step: 1}", "step: 99999999999999999999999}", "expected at most 17592186044416"),
    "zones of no name": ("zones: [near], rate", "zones: [], rate", "an empty list; expected names"),
    "deck of no file": ("{main: main.csv}", "{main: []}", "deck 'main' has no files"),
    "no decks": ("{main: main.csv}", "{}", "no decks; expected at least one"),
    "deck elsewhere": ("main.csv", "../main.csv", "t.yaml:5: deck '../main.csv' lies outside of the tariff's folder"),
    "deck of an absolute path": ("main.csv", "/etc/passwd", "lies outside of the tariff's folder"),
    "deck of a long name": ("main.csv", "x" * 5000, "expected a CSV file beside the tariff"),
    "calendar elsewhere": ("currency: EUR", "currency: EUR\ncalendars: {h: ../h.csv}",
                           "calendar '../h.csv' lies outside"),
    "exchange twice": ("currency: EUR", "currency: EUR\nexchange: [{from: USD, to: EUR, rate: 1}, "
                       "{from: USD, to: EUR, rate: 2}]", "a second rate from USD to EUR for one time"),
    "a day that no month has": ("days: mon-fri", "dates: 31, months: feb", "day 31, which none of the months has"),
    "top-up backwards": ("currency: EUR", "currency: EUR\ntop_ups: [{from: 10, to: 1, bonus: 1}]",
                         "a range from 10 to 1"),
    "network twice": ("currency: EUR", "currency: EUR\nroaming: {eu: ['208'], world: ['208']}",
                      "t.yaml:1: network '208' is in roaming zones 'eu' and 'world'"),
    "fallback in a wide circle": (
        "plans:\n", "plans:\n  b: {fallback: c, prices: [{service: sms, rate: text}]}\n"
        "  c: {fallback: b, prices: [{service: sms, rate: text}]}\n", "in a circle: b -> c -> b"),
    "overflow": ("price: 0.10, per: 60", "price: 9000000000.123456789, per: 7919", "overflow 64 bits"),
}
DECKS = {
    "prefix twice": (DECK + "49,far\n", "main.csv:4: prefix 49 is listed twice; expected one row for each prefix"),
    "header": ("49,near\n", "header '49,near'; expected prefix,zone"),
    "plus sign": (DECK + "+44,far\n", "main.csv:4: prefix '+44'"),
    "no zone": (DECK + "44\n", "main.csv:4: '44'; expected a prefix and a zone"),
    "empty": ("prefix,zone\n", "the deck is empty"),
    "open quote": ('prefix,zone\n49,"near\n33,far\n', "main.csv:3: unexpected end of data"),
    "zone that is a key word": (DECK + "44,any\n", "main.csv:4: zone 'any'; expected a printable name"),
    "control character": (DECK + "44,ne\x07ar\n", "main.csv:4: zone 'ne\\x07ar'"),
    "digits of another script": (DECK + "٤٩,far\n", "main.csv:4: prefix '٤٩'"),
    "field without end": (DECK + "44," + "x" * 200_000 + "\n", "main.csv:4: field larger than field limit"),
}


def write(folder: Path, text: str, deck: str = DECK) -> Path:
    (folder / "t.yaml").write_text(text)
    (folder / "main.csv").write_text(deck)
    return folder


def test_the_tariff_that_the_cases_break_is_good(tmp_path):
    assert check_tariff(write(tmp_path, GOOD)) == []


@pytest.mark.parametrize("case", CASES)
def test_a_bad_tariff_is_refused_with_its_own_message(case, tmp_path):
    old, new, message = CASES[case]
    assert old in GOOD
    problems = check_tariff(write(tmp_path, GOOD.replace(old, new, 1)))
    assert len(problems) == 1
    assert message in problems[0]
    assert problems[0].startswith("t.yaml:")


@pytest.mark.parametrize("case", DECKS)
def test_a_bad_deck_is_refused_with_its_own_message(case, tmp_path):
    deck, message = DECKS[case]
    assert message in check_tariff(write(tmp_path, GOOD, deck))[0]


def test_octets_that_are_no_text_are_refused_with_their_line(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "t.yaml").write_bytes(GOOD.encode().replace(b"cheap", b"che\xe4p", 1))
    assert check_tariff(tmp_path)[0].startswith("t.yaml:11: octet 0xe4, which is no UTF-8")
    write(tmp_path, GOOD)
    (tmp_path / "main.csv").write_bytes(DECK.encode().replace(b"far", b"f\xe4r"))
    assert check_tariff(tmp_path)[0].startswith("main.csv:3: octet 0xe4, which is no UTF-8")


def test_a_hundred_megabytes_are_refused_unread(tmp_path):
    write(tmp_path, GOOD)
    with (tmp_path / "t.yaml").open("ab") as file:
        file.truncate(100 << 20)
    assert "t.yaml:1: 104,857,600 octets; expected at most 16,777,216" in check_tariff(tmp_path)[0]
    write(tmp_path, GOOD)
    with (tmp_path / "main.csv").open("ab") as file:
        file.truncate(100 << 20)
    assert "main.csv:1: 104,857,600 octets" in check_tariff(tmp_path)[0]


def test_aliases_that_unfold_to_more_than_memory_holds_are_refused(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
              for before, name in zip("abcdefghi", "bcdefghij", strict=True)]
    assert "values, aliases unfolded" in check_tariff(write(tmp_path, "\n".join(lines) + "\n" + GOOD))[0]


@pytest.mark.parametrize("text", ["", "# nothing\n", "hello", "- a\n- b\n", "? [a]\n: b\n", "a: *b\n",
                                  "%YAML 9.9\n---\na: b\n"])
def test_what_is_no_tariff_at_all_is_refused_in_words(tmp_path, text):
    [problem] = check_tariff(write(tmp_path, text))
    assert problem.startswith("t.yaml:1: ")


def test_two_versions_of_one_activation_are_refused(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "u.yaml").write_text(GOOD.replace('"t"', '"u"'))
    with pytest.raises(ReferenceDataError, match="come into force at the same time"):
        load_tariffs(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ReferenceDataError, match="no tariff version"):
        load_tariffs(tmp_path)


def test_the_content_hash_changes_with_a_price_and_not_with_a_comment(tmp_path):
    hashes = [load_tariffs(write(tmp_path, text)).content_hash
              for text in (GOOD, GOOD + "# said\n", GOOD.replace("0.10", "0.11"))]
    assert hashes[0] == hashes[1] != hashes[2]


def test_compiled_tables_cannot_be_written(tmp_path):
    tariffs = load_tariffs(write(tmp_path, GOOD))
    for table in tariffs.tables:
        assert not table.flags.writeable
