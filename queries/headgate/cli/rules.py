"""What the settings say about deriving rows, as the collector takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.cli.settings import ConfigurationError
from headgate.collector.rules import NS_PER_DAY, Identity, NameLimits, Rules, check_key
from headgate.store.dimension import PER_HUNDRED

if TYPE_CHECKING:
    from headgate.cli.settings import ServeSettings

_NS_PER_MINUTE = 60_000_000_000


def rules_of(settings: ServeSettings) -> Rules:
    """Return the rules; raises ConfigurationError where settings contradict each other or the key cannot be read."""
    identity = Identity(
        user=settings.user_attributes,
        session=settings.session_attributes,
        nobody=settings.anonymous_users,
        also_hashed=settings.hashed_attributes,
        key=_key(settings),
    )
    personal = {*identity.user, *identity.session, *identity.also_hashed}
    for name, keys in settings.dimensions.items():
        if known := personal & {key.removesuffix(PER_HUNDRED) for key in keys}:
            raise ConfigurationError(
                f"dimensions: {name} counts by {min(known)}, which names people; rollups hold nobody,"
                " so take another attribute"
            )
    return Rules(
        dimensions=tuple((name, keys) for name, keys in settings.dimensions.items() if keys),
        identity=identity,
        limits=NameLimits(
            settings.max_services, settings.max_operations, settings.max_dimension_values
        ),
        oldest_ns=settings.max_age_days * NS_PER_DAY,
        newest_ns=settings.max_ahead_minutes * _NS_PER_MINUTE,
    )


def _key(settings: ServeSettings) -> bytes:
    if settings.user_key_file is None:
        return settings.user_key.get_secret_value().encode() if settings.user_key else b""
    if settings.user_key is not None:
        raise ConfigurationError("user_key and user_key_file are two places for one key; give one")
    try:
        return check_key(settings.user_key_file.read_bytes().strip())
    except OSError as error:
        raise ConfigurationError(
            f"cannot read user_key_file {settings.user_key_file}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"user_key_file {settings.user_key_file}: {error}") from error
