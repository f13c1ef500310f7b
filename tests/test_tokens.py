"""Tokens: the file tells nothing that lets anybody in; changes of it are in force within a second and fail closed."""

from __future__ import annotations

import json
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest

from headgate.store import StoreError
from headgate.web.tokens import Role, Tokens, check_tenant, create_token, read_tokens, revoke_token

NOW = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "tokens.json"


def create(path, name="app", role=Role.INGEST, tenant="", expires=None):
    return create_token(path, name=name, tenant=tenant, role=role, now=NOW, expires=expires)


class World:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now, self.s = NOW, 0.0

    def tokens(self, path):
        return Tokens(path, clock=lambda: self.now, monotonic_s=lambda: self.s)


def test_the_file_is_private_and_holds_no_token(path):
    """Mode 0600 in a directory of 0700, hashes only; what was made is read back as it was."""
    made, secret = create(path, tenant="acme", expires=NOW + timedelta(days=1))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert secret.startswith("hg_")
    assert len(secret) >= 43
    assert secret not in path.read_text()
    assert secret.removeprefix("hg_") not in path.read_text()
    assert read_tokens(path) == [made]


def test_a_token_is_found_by_itself_only(path):
    """Neither its hash nor a part of it is a token; roles and tenants are its own."""
    made, secret = create(path, role=Role.READ, tenant="acme")
    other, other_secret = create(path)
    tokens = World().tokens(path)
    assert tokens.required
    assert tokens.find(secret) == tokens.find(secret.encode()) == made
    assert tokens.find(other_secret) == other
    for wrong in ("", secret[:-1], secret + "x", made.sha256, secret.upper()):
        assert tokens.find(wrong) is None


def test_changes_are_in_force_within_a_second(path):
    """Made, revoked, made for the first time: no restart; nothing is read more than once a second."""
    world = World()
    tokens = world.tokens(path)
    assert not tokens.check_required()
    made, secret = create(path)
    assert not tokens.check_required(), "not looked at yet"
    world.s += 1
    assert tokens.check_required()
    assert tokens.find(secret) == made
    revoke_token(path, made.id)
    world.s += 1
    assert tokens.find(secret) is None
    assert tokens.check_required(), "the last token revoked lets nobody in"


def test_a_token_expires(path):
    """To the instant."""
    world = World()
    _, secret = create(path, expires=NOW + timedelta(days=30))
    tokens = world.tokens(path)
    world.now += timedelta(days=30, microseconds=-1)
    assert tokens.find(secret)
    world.now += timedelta(microseconds=1)
    assert tokens.find(secret) is None


@pytest.mark.parametrize("damage", ["{", '{"tokens": [{}]}', '{"tokens": 3}', None])
def test_a_file_that_is_damaged_or_gone_opens_nothing(path, damage, caplog):
    """The tokens read before stay in force, and are asked for; a start with such a file is refused."""
    world = World()
    _, secret = create(path)
    tokens = world.tokens(path)
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
        with pytest.raises(StoreError, match=r"is no file of tokens"):
            world.tokens(path)
    world.s += 1
    assert tokens.find(secret)
    assert tokens.find("hg_other") is None
    assert tokens.check_required()
    assert "stay in force" in caplog.text


def test_many_who_make_tokens_at_once_lose_none(path):
    """Each change sees the ones before."""
    threads = [threading.Thread(target=create, args=(path, f"app {i}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in read_tokens(path)} == {f"app {i}" for i in range(8)}
    assert not list(path.parent.glob("*.new"))


def test_revoking_what_is_not_there_says_what_is(path):
    """One sentence with the ids that are."""
    made, _ = create(path)
    with pytest.raises(StoreError, match=f"no token 'zz'.* known are {made.id}"):
        revoke_token(path, "zz")


@pytest.mark.parametrize("name", ["", "a b", "1st", "a-b", "system", "default", "x" * 64, "a`b"])
def test_a_tenant_is_the_name_of_a_database(name, path):
    """Nothing else is taken, neither when a token is made nor from the file."""
    with pytest.raises(StoreError, match="is no name for a tenant"):
        check_tenant(name)
    create(path, tenant="fine")
    entries = json.loads(path.read_text())
    entries["tokens"][0]["tenant"] = name
    path.write_text(json.dumps(entries))
    if name:
        with pytest.raises(StoreError, match="is no file of tokens"):
            read_tokens(path)
