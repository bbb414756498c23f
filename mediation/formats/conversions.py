"""What `as` means in a layout: from the octets of a field to a cell.

One table for all families, so that `tarifa format check` can list it. A code is what the kernels compare; a
conversion to a `..._number` column also writes the `..._number_type` beside it, one to `served_address` also
`served_address_text`.
"""

from dataclasses import dataclass

# Codes of the binary conversions (family ber).
C_INT, C_UINT, C_QUANTITY, C_BOOL, C_PRESENT = 1, 2, 3, 4, 5
C_TBCD, C_IMEI, C_ADDRESS, C_SMS_ADDRESS = 6, 7, 8, 9
C_DIGITS, C_URI, C_SUBSCRIBER = 10, 11, 12
C_TIMESTAMP9, C_PLMN, C_TEXT = 13, 14, 15
C_IPV4, C_IPV6, C_IPV4_TEXT, C_IPV6_TEXT, C_IP_NUMBER = 16, 17, 18, 19, 20


@dataclass(frozen=True)
class Conversion:
    """A conversion: its code for the kernels, the families that know it, what it does."""

    code: int
    families: tuple[str, ...]
    meaning: str


CONVERSIONS = {
    "int": Conversion(C_INT, ("ber",), "signed integer; below zero is a BAD_VALUE"),
    "uint": Conversion(C_UINT, ("ber",), "octets as an unsigned number, also where the sender left out the leading "
                                         "zero octet; for identifiers"),
    "quantity": Conversion(C_QUANTITY, ("ber",), "signed integer; below zero is a NEGATIVE_QUANTITY"),
    "bool": Conversion(C_BOOL, ("ber",), "0 or 1"),
    "present": Conversion(C_PRESENT, ("ber",), "1 when the field is there, whatever it holds (NULL)"),
    "tbcd": Conversion(C_TBCD, ("ber",), "digits, low nibble first, filler F at the end (TS 29.002)"),
    "imei": Conversion(C_IMEI, ("ber",), "TBCD; the first 14 digits (type allocation code and serial number), since "
                                         "check digit, spare digit and software version do not name the device"),
    "address-string": Conversion(C_ADDRESS, ("ber",), "octet of nature and plan (a second one when its top bit is "
                                                      "clear, TS 24.008), then TBCD digits"),
    "sms-address": Conversion(C_SMS_ADDRESS, ("ber",), "address of TS 23.040, with or without its length octet; "
                                                       "alphanumeric senders become text"),
    "digits": Conversion(C_DIGITS, ("ber",), "digits as characters, '+' in front means international"),
    "uri": Conversion(C_URI, ("ber",), "SIP or tel URI; its number where it has one, otherwise text"),
    "subscriber": Conversion(C_SUBSCRIBER, ("ber",), "'imsi-...', 'msisdn-...' (TS 29.571) set their column; plain "
                                                     "digits or text set the column named by `to`"),
    "timestamp9": Conversion(C_TIMESTAMP9, ("ber",), "nine octets YYMMDDhhmmss, sign, hhmm (TS 32.298) to UTC"),
    "plmn": Conversion(C_PLMN, ("ber",), "three octets (TS 29.060) to MCC * 1000 + MNC"),
    "text": Conversion(C_TEXT, ("ber",), "reference to the octets"),
    "ipv4": Conversion(C_IPV4, ("ber",), "four octets to a number"),
    "ipv6": Conversion(C_IPV6, ("ber",), "reference to sixteen octets"),
    "ipv4-text": Conversion(C_IPV4_TEXT, ("ber",), "dotted decimal to a number"),
    "ipv6-text": Conversion(C_IPV6_TEXT, ("ber",), "reference to the characters"),
    "ip-number": Conversion(C_IP_NUMBER, ("ber",), "four octets to a number; sixteen to a hash of 62 bits, which is "
                                                   "above any IPv4 address: for keys"),
}

# Conversions of text families (and of RADIUS, whose attributes are text or octets); their codes are those of
# `mediation.kernels.text_rows`, kept in `mediation.formats.text_fields`. Names that `ber` has too mean the same.
TEXT_FAMILIES = ("csv", "json", "fixed", "radius")
TEXT_CONVERSIONS = {
    "int": "whole number; below zero is a BAD_VALUE; times `multiply`",
    "quantity": "decimal number times `multiply`, to a whole one by `round` (up, down, half-up; otherwise a rest is a "
                "BAD_VALUE); below zero is a NEGATIVE_QUANTITY",
    "hex": "hexadecimal number",
    "uint": "octets, highest first, as an unsigned number times `multiply`",
    "bool": "true/false, yes/no, t/f, y/n, 1/0",
    "present": "1 when the field is there, whatever it holds",
    "digits": "digits as characters, '+' in front means international",
    "imei": "digits; the first 14",
    "number": "a number as people write it, '+' in front means international, blanks and hyphens passed over, or a SIP "
              "or tel URI; its number where it has one, otherwise text; `number_type` says how it is without '+'",
    "uri": "the same as number",
    "plmn-text": "MCC and MNC as digits to MCC * 1000 + MNC",
    "text": "reference to the characters; at most 65,535",
    "ipv4-text": "dotted decimal to a number",
    "ip-text": "dotted decimal to a number, IPv6 as text",
    "iso-time": "ISO 8601 date and time; the declared `zone` where it says none",
    "compact-time": "YYYYMMDDhhmmss or YYMMDDhhmmss; the declared `zone` where it says none",
    "epoch": "seconds since 1970, UTC; `unit` s, ms or us",
    "pattern-time": "a time by `pattern`: Y M D h m s repeated to their width, f fraction, Z zone",
    "clock": "hh:mm:ss, mm:ss or ss to seconds, by `round`",
    "map": "by `values`, text to code name or number; `otherwise` for what is not listed, or it is a BAD_VALUE",
}
for _name, _meaning in TEXT_CONVERSIONS.items():
    _known = CONVERSIONS.get(_name, Conversion(0, (), _meaning))
    CONVERSIONS[_name] = Conversion(_known.code, (*_known.families, *TEXT_FAMILIES), _known.meaning)

# Codes of the derivations; all families may use them.
D_SECONDS_BETWEEN, D_PRESENT, D_CHOOSE, D_COPY, D_ADD_MS, D_REMAINDER, D_MAP = 1, 2, 3, 4, 5, 6, 7
DERIVATIONS = {
    "seconds-between": Conversion(D_SECONDS_BETWEEN, (), "from [start, end]: seconds, a started one counts; 0 when "
                                                         "there is no start, BAD_TIME when the end lies before it"),
    "is-present": Conversion(D_PRESENT, (), "from [column]: 1 when it is there, otherwise 0"),
    "choose": Conversion(D_CHOOSE, (), "by: column; from [a, b, ...]: the one that its value names, counted from 0 "
                                       "(the first when it is absent; none for null or beyond the list)"),
    "copy": Conversion(D_COPY, (), "from [a, b, ...]: the first that is there"),
    "add-milliseconds": Conversion(D_ADD_MS, (), "from [milliseconds]: added to the time in `to`"),
    "remainder": Conversion(D_REMAINDER, (), "from [total, part]: total less part, part absent counting as 0"),
    "map": Conversion(D_MAP, (), "map: {value: cell}; from [column]: a listed value sets `to`, whatever it was"),
}
