"""What happens: calls, messages and data sessions of one hour, drawn into rows."""

from numba import types

from pipelines.sample.kernels.draw import SHARE, draw_nb, other_party_nb, quantile_nb, subscriber_nb
from pipelines.sample.rows import (
    C_ANSWER_S,
    C_CAUSE,
    C_DURATION_S,
    C_EXTRA,
    C_KIND,
    C_OTHER,
    C_OTHER_INTERNATIONAL,
    C_PARTIAL,
    C_PLMN,
    D_ADDRESS,
    D_APN,
    D_CAUSE,
    D_CHARGING_ID,
    D_DOWN,
    D_GROUPS,
    D_LAST,
    D_OPEN_S,
    D_PARTIAL,
    D_PLMN,
    D_RAT,
    D_SESSION_START_S,
    D_SHARE,
    D_SWITCH_S,
    D_TOTAL_DOWN,
    D_TOTAL_UP,
    D_UP,
    E_CLOSE_S,
    E_DEFECT,
    E_IMEI,
    E_IMSI,
    E_KEEP,
    E_MSISDN,
    E_REGION,
    E_SEQUENCE,
    E_SESSION,
    E_START_S,
    E_SUBSCRIBER,
    FORWARDED,
    MO,
    MT,
    NEVER,
    ROAMED,
    S_FROM_S,
    S_HOTSPOT_IP,
    S_IMEI,
    S_IMSI,
    S_IMSI_AFTER,
    S_MSISDN,
    S_REGION,
    S_SWAP_S,
    S_TO_S,
)
from schemas.jit import CELLS_IN, CELLS_OUT, I64_IN, kernel

I64 = types.int64
HOME_PLMN = 1001
# Parameters of a draw, by position.
P_KEY, P_FROM_S, P_SECONDS, P_PERIOD_END_S, P_MT_SHARE, P_FORWARD_SHARE, P_ROAM_SHARE, P_ANSWER_SHARE = range(8)
P_MESSAGES, P_FIRST_ID, P_VISITORS = range(8, 11)
Q_KEY, Q_FROM_S, Q_SECONDS, Q_PERIOD_END_S, Q_TIME_LIMIT_S, Q_VOLUME_LIMIT, Q_FIRST_ID = range(7)
Q_WIFI, Q_NR, Q_SWITCH_S = range(7, 10)


@kernel(types.void(CELLS_IN, I64, I64, CELLS_OUT, I64))
def identify_nb(subscribers, who, at_s, out, row):
    """The identities that a subscriber shows to the network at `at_s`, and whether there is a service then."""
    out[E_KEEP, row] = 1 if subscribers[S_FROM_S, who] <= at_s < subscribers[S_TO_S, who] else 0
    out[E_SUBSCRIBER, row] = who
    swapped = at_s >= subscribers[S_SWAP_S, who]
    out[E_IMSI, row] = subscribers[S_IMSI_AFTER if swapped else S_IMSI, who]
    out[E_MSISDN, row] = subscribers[S_MSISDN, who]
    out[E_IMEI, row] = subscribers[S_IMEI, who]
    out[E_REGION, row] = subscribers[S_REGION, who]
    out[E_DEFECT, row] = 0


@kernel(types.void(I64_IN, CELLS_IN, CELLS_IN, CELLS_IN, CELLS_IN, I64_IN, CELLS_OUT))
def draw_calls_nb(parameters, subscribers, targets, callers, durations, foreign_plmns, out):
    """Calls or messages that start in an interval, in the order of their start. Writes every row."""
    key, count = parameters[P_KEY], out.shape[1]
    total = subscribers.shape[1]
    for row in range(count):
        start = parameters[P_FROM_S] + (row * 64 + draw_nb(key, row, 1) % 64) * parameters[P_SECONDS] // (count * 64)
        who = subscriber_nb(draw_nb(key, row, 2), total)
        identify_nb(subscribers, who, start, out, row)
        style = draw_nb(key, row, 3)
        share = style % SHARE
        kind = MO
        if share < parameters[P_MT_SHARE]:
            kind = MT
        elif share < parameters[P_MT_SHARE] + parameters[P_FORWARD_SHARE]:
            kind = FORWARDED
        elif share < parameters[P_MT_SHARE] + parameters[P_FORWARD_SHARE] + parameters[P_ROAM_SHARE]:
            kind = ROAMED
        incoming = kind in (MT, ROAMED)
        other, international = other_party_nb(callers if incoming else targets, subscribers, draw_nb(key, row, 4),
                                              draw_nb(key, row, 5), incoming)
        out[C_EXTRA, row] = subscribers[S_MSISDN, draw_nb(key, row, 6) % total] if kind == FORWARDED else -1
        answer = start + 2 + draw_nb(key, row, 7) % 25
        answered = draw_nb(key, row, 8) % SHARE < parameters[P_ANSWER_SHARE]
        duration = quantile_nb(durations, draw_nb(key, row, 9)) if answered else 0
        if parameters[P_MESSAGES]:
            answer, duration, answered = start, 0, True
        close = answer + duration
        if close >= parameters[P_PERIOD_END_S]:  # a period's last calls end with it
            close = parameters[P_PERIOD_END_S] - 1
            answer = min(answer, close)
            duration = close - answer if answered and not parameters[P_MESSAGES] else 0
        out[C_KIND, row] = kind
        out[E_START_S, row] = start
        out[E_CLOSE_S, row] = close
        out[E_SESSION, row] = parameters[P_FIRST_ID] + row
        out[E_SEQUENCE, row] = 0
        out[C_ANSWER_S, row] = answer if answered else -1
        out[C_DURATION_S, row] = duration
        out[C_OTHER, row] = other
        out[C_OTHER_INTERNATIONAL, row] = international
        out[C_CAUSE, row] = (4 if draw_nb(key, row, 10) % 50 == 0 else 0) if answered else 3
        abroad = (style >> 24) % 100 < 2 and (who % 31 == 7)
        out[C_PARTIAL, row] = 0
        out[C_PLMN, row] = foreign_plmns[(style >> 32) % foreign_plmns.size] if abroad else HOME_PLMN
        # A visitor of a foreign network uses our switches: identities of its home network.
        if (style >> 40) % 200 == 0 and kind <= MT and parameters[P_VISITORS] == 1:
            plmn = foreign_plmns[(style >> 48) % foreign_plmns.size]
            plmn = plmn // 1000 * 100 + plmn % 1000
            digits = 0
            scale = 10000
            for _ in range(5):
                digits = digits << 4 | plmn // scale % 10 + 1
                scale //= 10
            visitor = draw_nb(key, row, 11) % 10_000_000_000
            scale = 1_000_000_000
            for _ in range(10):
                digits = digits << 4 | visitor // scale % 10 + 1
                scale //= 10
            out[E_IMSI, row] = digits
            out[E_MSISDN, row] = -1


@kernel(I64(I64, I64, I64))
def flown_nb(volume, seconds, passed):
    """What of `volume`, spread over `seconds`, has flown after `passed` of them; exact, and cannot overflow."""
    return volume // seconds * passed + volume % seconds * passed // seconds


@kernel(I64(I64_IN, CELLS_IN, CELLS_IN, CELLS_IN, I64_IN, I64, CELLS_OUT))
def draw_sessions_nb(parameters, subscribers, durations, volumes, foreign_plmns, sessions, out):
    """Data sessions that start in an interval, cut into partials; returns the rows written (at most those of `out`).

    A partial ends at the time limit, the volume limit, a change of radio access, or the end of the session. Volume
    flows evenly, so that a partial's volume is exact and the partials sum to the session's.
    """
    key, total, used = parameters[Q_KEY], subscribers.shape[1], 0
    for s in range(sessions):
        start = parameters[Q_FROM_S] + (s * 64 + draw_nb(key, s, 1) % 64) * parameters[Q_SECONDS] // (sessions * 64)
        who = subscriber_nb(draw_nb(key, s, 2), total)
        hotspot = parameters[Q_WIFI] == 1 and subscribers[S_HOTSPOT_IP, who] > 0 and draw_nb(key, s, 3) % 4 > 0
        length = 1 + quantile_nb(durations, draw_nb(key, s, 4))
        end = min(start + length, parameters[Q_PERIOD_END_S] - 1, subscribers[S_TO_S, who] - 1)
        if start < subscribers[S_FROM_S, who] or end <= start:
            continue
        length = end - start
        volume = quantile_nb(volumes, draw_nb(key, s, 5))
        up = volume * (3 + draw_nb(key, s, 6) % 20) // 100
        down = volume - up
        plmn = HOME_PLMN
        if who % 31 == 7 and draw_nb(key, s, 7) % 10 < 3:
            plmn = foreign_plmns[draw_nb(key, s, 8) % foreign_plmns.size]
        rat = 51 if parameters[Q_NR] == 1 else 6
        change = NEVER
        if draw_nb(key, s, 9) % 12 == 0 and length > 120:
            change = start + 60 + draw_nb(key, s, 10) % (length - 60)
        limit_s = parameters[Q_TIME_LIMIT_S]
        if volume > parameters[Q_VOLUME_LIMIT]:
            limit_s = min(limit_s, max(60, parameters[Q_VOLUME_LIMIT] * length // volume))
        shares = draw_nb(key, s, 11)
        groups = 1 + (shares & 7) // 3
        wifi = parameters[Q_WIFI] == 1
        if wifi:
            groups, change = 1, NEVER
        opened, number = start, 0 if wifi else 1  # Wi-Fi reports the start of a session by itself, as report 0
        while opened < end:
            close, cause = min(opened + limit_s, end), 17 if limit_s == parameters[Q_TIME_LIMIT_S] else 16
            if opened < change <= close:
                close, cause = change, 22
            if number == 0:
                close, cause = start, 1
            if close == end:
                cause = 4 if shares >> 50 == 0 else 0
            if used == out.shape[1]:
                return used
            identify_nb(subscribers, who, start, out, used)
            out[E_KEEP, used] = 1
            if hotspot:
                out[E_IMSI, used], out[E_MSISDN, used] = -1, -1
            out[E_START_S, used], out[E_CLOSE_S, used] = opened, close
            out[E_SESSION, used] = parameters[Q_FIRST_ID] + s
            out[E_SEQUENCE, used] = 0
            out[D_SESSION_START_S, used] = start
            out[D_PARTIAL, used] = number
            out[D_CAUSE, used] = cause
            out[D_LAST, used] = 1 if close == end else 0
            out[D_RAT, used] = rat
            out[D_TOTAL_UP, used] = flown_nb(up, length, close - start)
            out[D_TOTAL_DOWN, used] = flown_nb(down, length, close - start)
            out[D_UP, used] = out[D_TOTAL_UP, used] - flown_nb(up, length, opened - start)
            out[D_DOWN, used] = out[D_TOTAL_DOWN, used] - flown_nb(down, length, opened - start)
            out[D_GROUPS, used] = groups
            out[D_SHARE, used] = shares >> 8 & 0xFFFF
            switch = parameters[Q_SWITCH_S]
            out[D_SWITCH_S, used] = switch if opened < switch < close and not wifi else -1
            out[D_CHARGING_ID, used] = (parameters[Q_FIRST_ID] + s & 0x7FFFFFFF) * 2654435761 & 0xFFFFFFFF
            out[D_PLMN, used] = plmn
            out[D_ADDRESS, used] = subscribers[S_HOTSPOT_IP, who] if hotspot else \
                (10 << 24) + draw_nb(key, s, 12) % (1 << 24)
            out[D_APN, used] = 1 if shares >> 56 & 15 == 0 else 0
            out[D_OPEN_S, used] = opened
            used += 1
            if cause == 22:
                rat = 6 if rat == 51 else (1 if rat == 6 else 6)
            opened, number = close, number + 1
    return used


@kernel(I64(I64, I64, I64, I64))
def part_nb(volume, share, groups, group):
    """A rating group's part of `volume`; the first group takes what the others leave."""
    second = volume // 32 * (share & 15) if groups > 1 else 0
    third = volume // 32 * (share >> 4 & 15) if groups > 2 else 0
    if group == 1:
        return second
    if group == 2:
        return third
    return volume - second - third


@kernel(types.UniTuple(I64, 7)(CELLS_IN, I64, I64))
def container_nb(rows, row, index):
    """Container `index` of a partial: rating group, service identifier, first and last use, seconds, up, down.

    Rating groups share the volume; when the tariff switched in the partial, each has one container before and one
    after. Containers count up by rating group within each side of the switch.
    """
    groups, switch = rows[D_GROUPS, row], rows[D_SWITCH_S, row]
    opened, close = rows[D_OPEN_S, row], rows[E_CLOSE_S, row]
    part, group = index // groups, index % groups
    first = switch if part == 1 else opened
    last = switch if part == 0 and switch > 0 else close
    up = part_nb(rows[D_UP, row], rows[D_SHARE, row], groups, group)
    down = part_nb(rows[D_DOWN, row], rows[D_SHARE, row], groups, group)
    if switch > 0:
        span = close - opened
        early_up, early_down = up // span * (switch - opened), down // span * (switch - opened)
        if part == 0:
            up, down = early_up, early_down
        else:
            up, down = up - early_up, down - early_down
    return 10 * (group + 1), 100 + group, first, last, last - first, up, down


@kernel(I64(CELLS_IN, I64))
def container_count_nb(rows, row):
    """Containers of a partial."""
    return rows[D_GROUPS, row] * (2 if rows[D_SWITCH_S, row] > 0 else 1)
