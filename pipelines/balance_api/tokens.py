"""Who may ask: bearer tokens with scopes. The file of the home holds their hashes; a token is shown once, when made.

A token has 256 bits of chance, so that a plain hash of it is enough and checking costs nothing.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.durable import Disk, replace_file
from schemas.errors import ChargingError, LedgerError

SCOPES = ("balance:read", "history:read", "topup:write", "transfer:write", "reserve:write", "adjust:write",
          "account:write", "hub:write")
RATE_PER_MINUTE = 600
MOST_TOKENS = 10_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_PREFIX = "tarifa_"


@dataclass(frozen=True)
class Grantee:
    """Who a token is: its name is what audit and ledger show."""

    name: str
    scopes: tuple[str, ...]
    sha256: str
    rate_per_minute: int = RATE_PER_MINUTE
    expires_us: int | None = None

    def may(self, scope: str) -> bool:
        """Whether it has a scope."""
        return scope in self.scopes


class Tokens:
    """The file `api/tokens.json` of a home; read again when it has changed, so that revoking needs no restart."""

    def __init__(self, home: Path, disk: Disk | None = None) -> None:
        self._path, self._disk = home / "api" / "tokens.json", disk or Disk()
        self._stamp: tuple[int, int] | None = None
        self._by_hash: dict[str, Grantee] = {}

    def find(self, token: str, now_us: int) -> Grantee | None:
        """Whose token it is; None: nobody's, or expired."""
        self._refresh()
        found = self._by_hash.get(hashlib.sha256(token.encode(errors="replace")).hexdigest())
        return None if found is None or (found.expires_us is not None and found.expires_us <= now_us) else found

    def all(self) -> list[Grantee]:
        """Everybody who may ask, by name."""
        self._refresh()
        return sorted(self._by_hash.values(), key=lambda g: g.name)

    def create(self, name: str, scopes: Sequence[str], rate_per_minute: int = RATE_PER_MINUTE,
               expires_us: int | None = None) -> str:
        """Make a token. What is returned is nowhere else. Raises ChargingError."""
        wrong = [scope for scope in scopes if scope not in SCOPES]
        if wrong or not scopes:
            raise ChargingError(f"scope {wrong[0]!r}" if wrong else "no scope", "some of " + ", ".join(SCOPES))
        if not _NAME.fullmatch(name):
            raise ChargingError(f"token name {name!r}", "lower-case letters, digits, dots and dashes, at most 40")
        if not 1 <= rate_per_minute <= 1_000_000:
            raise ChargingError(f"a rate of {rate_per_minute} a minute", "1 to 1000000")
        known = self.all()
        if any(each.name == name for each in known) or len(known) >= MOST_TOKENS:
            raise ChargingError(f"a token {name!r} is there already", "a name of its own", "revoke that one first")
        token = _PREFIX + secrets.token_urlsafe(32)
        digest = hashlib.sha256(token.encode()).hexdigest()
        self._write([*known, Grantee(name, tuple(dict.fromkeys(scopes)), digest, rate_per_minute, expires_us)])
        return token

    def revoke(self, name: str) -> None:
        """From now on it is nobody's. Raises ChargingError: there is none of that name."""
        left = [each for each in self.all() if each.name != name]
        if len(left) == len(self._by_hash):
            raise ChargingError(f"no token {name!r}", "one of " + (", ".join(g.name for g in left[:20]) or "none"))
        self._write(left)

    def _write(self, grantees: Sequence[Grantee]) -> None:
        self._disk.make_dir(self._path.parent)
        replace_file(self._disk, self._path, json.dumps({"format": 1, "tokens": [asdict(g) for g in grantees]},
                                                        indent=1).encode())
        self._path.chmod(0o600)
        self._stamp = None

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._by_hash = None, {}
            return
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return
        try:
            content = json.loads(self._path.read_bytes())
            grantees = [Grantee(t["name"], tuple(t["scopes"]), t["sha256"], int(t["rate_per_minute"]), t["expires_us"])
                        for t in content["tokens"]]
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"{self._path.name} cannot be read: {error}", "what `tarifa api token` writes",
                              "restore it, or make the tokens anew") from error
        self._by_hash, self._stamp = {g.sha256: g for g in grantees}, stamp
