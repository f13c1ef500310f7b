"""Who a use belongs to: the attributes that name the user and the session. Collector and reports follow the same rules.

The rules in force are kept in the database, since a report that derives users from raw rows may be asked far from the
collector's settings. They tell neither whether user ids are hashed nor the key: raw rows hold what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from headgate.store.client import Store

TABLE = "identity_rule"
NOBODY = (
    *("anonymous", "anonymousUser", "guest", "unknown", "undefined", "null", "none", "nil", "-"),
)
"""What applications write for a user when there is none."""


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """`user` and `session` are attributes; `nobody` are values that name nobody, as the empty one does.

    The first attribute counts whose value names somebody, a use's own before its resource's.
    """

    user: tuple[str, ...] = ("user.id", "enduser.id")
    session: tuple[str, ...] = ("session.id",)
    nobody: tuple[str, ...] = NOBODY


def read_identity(store: Store, tables: Collection[str]) -> IdentityRules:
    """Return the rules in force, the defaults where the database has none; `tables` are those there are."""
    if TABLE not in tables:
        return IdentityRules()
    rows = store.client().query(
        f"SELECT UserAttributes, SessionAttributes, Nobody FROM {TABLE} ORDER BY Time DESC LIMIT 1"
    )
    return IdentityRules(*map(tuple, rows.result_rows[0])) if rows.result_rows else IdentityRules()


def write_identity(store: Store, rules: IdentityRules, now: datetime) -> None:
    """Put rules in force from `now` on (aware), unless they are."""
    if read_identity(store, {TABLE}) == rules:
        return
    client = store.client()
    client.command(
        f"INSERT INTO {TABLE} (Time, UserAttributes, SessionAttributes, Nobody) VALUES"
        " ({time:DateTime64(6, 'UTC')}, {user:Array(String)}, {session:Array(String)}, {nobody:Array(String)})",
        parameters={
            "time": f"{now:%Y-%m-%d %H:%M:%S.%f}",
            "user": list(rules.user),
            "session": list(rules.session),
            "nobody": list(rules.nobody),
        },
    )
