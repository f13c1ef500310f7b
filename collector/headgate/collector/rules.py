"""What the settings say about deriving rows from requests: with a segment's bytes, what makes its rows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from headgate.store.dimension import DIMENSIONS, Dimensions
from headgate.store.identity import IdentityRules

NS_PER_DAY = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Identity(IdentityRules):
    """Who a use belongs to, and what is stored of that.

    With a `key`, what the attributes of `user` and `also_hashed` say is stored as its keyed hash only.
    """

    also_hashed: tuple[str, ...] = ("feature_flag.context.id",)
    key: bytes = field(default=b"", repr=False)

    def stored(self, user: bytes) -> bytes:
        """Return what is stored for a user: the name, or with a key its BLAKE2b-128 as 32 hexadecimal digits."""
        if not self.key or not user or user in self.nobody_bytes:
            return user
        return hashlib.blake2b(user, key=self.key, digest_size=16).hexdigest().encode()

    @property
    def public(self) -> IdentityRules:
        """What reports must know."""
        return IdentityRules(self.user, self.session, self.nobody)

    @property
    def nobody_bytes(self) -> tuple[bytes, ...]:
        """The values that name nobody, as they come."""
        return tuple(value.encode() for value in self.nobody)


@dataclass(frozen=True, slots=True)
class NameLimits:
    """How many names are counted one by one within an hour: services, operations of each, values of each dimension."""

    services: int = 1000
    operations: int = 1000
    dimension_values: int = 1000


def check_key(key: bytes) -> bytes:
    """Return a key that user ids can be hashed with; raises ValueError."""
    if not 16 <= len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise ValueError(
            f"a key has 16 to 64 bytes, not {len(key)}; make one with: openssl rand -hex 24"
        )
    return key


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows are derived.

    `dimensions` are (name, attributes): a use's value is that of the first attribute that it or its resource has.
    `limits` bound the names that are counted one by one. Times earlier than `oldest_ns` before the arrival or later
    than `newest_ns` after it are not believed.
    """

    dimensions: Dimensions = DIMENSIONS
    identity: Identity = Identity()
    limits: NameLimits = NameLimits()
    oldest_ns: int = 90 * NS_PER_DAY
    newest_ns: int = NS_PER_DAY // 24

    def to_json(self) -> str:
        """Return the rules as a plan holds them: with a mark of the key in place of the key."""
        written = asdict(self)
        written["identity"]["key"] = _mark(self.identity.key)
        return json.dumps(written)

    @classmethod
    def from_json(cls, text: str, key: bytes) -> Rules:
        """Read rules back; raises ValueError, KeyError or TypeError when they are of another key or version."""
        written = json.loads(text)
        identity = written.pop("identity")
        if identity.pop("key") != _mark(key):
            raise ValueError("the rules were made with another user_key")
        return cls(
            dimensions=tuple((name, tuple(keys)) for name, keys in written.pop("dimensions")),
            identity=Identity(**{name: tuple(of) for name, of in identity.items()}, key=key),
            limits=NameLimits(**written.pop("limits")),
            **written,
        )


def _mark(key: bytes) -> str:
    """Return what tells two keys apart and says nothing else of them."""
    return hashlib.blake2b(b"headgate", key=key, digest_size=8).hexdigest() if key else ""
