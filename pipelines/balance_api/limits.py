"""So many requests a minute for each token, and few failures for each address: buckets that fill by the second."""

from dataclasses import dataclass

MOST_REMEMBERED = 100_000


@dataclass
class _Level:
    left: float
    seen_s: float


class Limiter:
    """Takes one of a bucket, or says how many seconds to wait."""

    def __init__(self) -> None:
        self._levels: dict[str, _Level] = {}

    def take(self, who: str, per_minute: int, now_s: float) -> float:
        """0 where the request may go on. A bucket holds a tenth of a minute's worth, ten at least."""
        most, rate = max(per_minute / 10, min(per_minute, 10)), per_minute / 60
        level = self._levels.get(who)
        if level is None:
            if len(self._levels) >= MOST_REMEMBERED:
                self._forget(now_s)
            level = self._levels[who] = _Level(most, now_s)
        level.left = min(most, level.left + max(0.0, now_s - level.seen_s) * rate)
        level.seen_s = now_s
        if level.left < 1:
            return (1 - level.left) / rate
        level.left -= 1
        return 0.0

    def _forget(self, now_s: float) -> None:
        """Those that nobody used for a minute are full again."""
        self._levels = {who: level for who, level in self._levels.items() if now_s - level.seen_s < 60}
        if len(self._levels) >= MOST_REMEMBERED:
            self._levels.clear()
