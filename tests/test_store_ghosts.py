"""Tokens of parts that never came to be: they make the engine drop rows for ever, until they are taken out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headgate.store.ghosts import missing, noted
from headgate.store.repair import repair, repair_open
from headgate.store.whole import parts_in

if TYPE_CHECKING:
    from headgate.store import Store

FUTURE = 4e9  # nothing is in doubt
BLOCK = b'{"UserHash": 1, "FirstSeen": 1790000000, "LastSeen": 1790000000}'
SETTINGS = {"insert_deduplication_token": "a", "insert_deduplicate": 1}


def insert(store: Store, block: str = "a") -> None:
    settings = {**SETTINGS, "insert_deduplication_token": block}
    store.client().raw_insert("user_seen", insert_block=BLOCK, fmt="JSONEachRow", settings=settings)


def count(store: Store) -> int:
    return int(store.client().query("SELECT count() FROM user_seen").result_rows[0][0])


def place(store: Store) -> Path:
    found = store.client().query(
        "SELECT data_paths[1] FROM system.tables WHERE database = currentDatabase() AND name = 'user_seen'"
    )
    return Path(found.result_rows[0][0])


@pytest.fixture
def haunted(store: Store) -> Store:
    """Return a store in the state that a kill leaves between the note of a block and its part."""
    insert(store)
    path = place(store)
    store.client().command("DETACH TABLE user_seen SYNC")
    for part in path.glob("all_*"):
        shutil.rmtree(part)
    store.client().command("ATTACH TABLE user_seen")
    assert count(store) == 0
    return store


def test_a_ghost_swallows_its_block_until_it_is_gone(haunted: Store) -> None:
    """The engine drops the block as a repetition; afterwards it is stored, and its repetition is dropped again."""
    insert(haunted)
    assert count(haunted) == 0, (
        "the engine does not write tokens first any more: this module can go"
    )
    assert repair_open(haunted, FUTURE).tables == {"user_seen"}
    insert(haunted)
    insert(haunted)
    assert count(haunted) == 1
    assert not repair_open(haunted, FUTURE).tables


def test_a_part_given_up_and_not_yet_removed_is_a_ghost(haunted: Store, tmp_path: Path) -> None:
    """What the engine has given up though its files lie there is opened again, with its token: rows are there once."""
    assert repair_open(haunted, FUTURE).tables == {"user_seen"}
    insert(haunted)
    (part,) = place(haunted).glob("all_*")
    shutil.copytree(part, tmp_path / part.name)
    haunted.client().command("DETACH TABLE user_seen SYNC")
    shutil.rmtree(part)
    haunted.client().command("ATTACH TABLE user_seen")
    shutil.copytree(tmp_path / part.name, part)
    assert count(haunted) == 0
    assert repair_open(haunted, FUTURE).tables == {"user_seen"}
    assert count(haunted) == 1
    insert(haunted)
    assert count(haunted) == 1


def test_parts_that_are_there_are_no_ghosts(store: Store) -> None:
    """Neither alone nor merged with others; their repetitions stay known."""
    for token in "abc":
        insert(store, token)
    store.client().command("OPTIMIZE TABLE user_seen FINAL")
    assert not missing(noted(place(store)), parts_in(place(store)).values())
    assert not repair_open(store, FUTURE).tables
    for token in "abc":
        insert(store, token)
    assert count(store) == 1


def test_an_engine_that_is_not_open_is_cleaned_by_its_files(tmp_path: Path) -> None:
    """Added and not there: out. Added and dropped by the engine, merged, mutated, or of another name: left."""
    table = tmp_path / "store" / "abc" / "abc-1"
    logs = table / "deduplication_logs"
    logs.mkdir(parents=True)
    (table / "format_version.txt").touch()
    for part in ("202611_1_4_2", "202611_6_6_0_9", "20261126_1_1_0", "detached"):
        (table / part).mkdir()
    kept = [
        "1\t202611_2_2_0\tt2",
        "1\t202611_6_6_0\tt6",
        "1\t20261126_1_1_0\td1",
        "2\t202611_9_9_0\tt9",
    ]
    lines = ["1\t202611_9_9_0\tt9", *kept, "1\t202611_5_5_1\tghost", "1\todd\tt"]
    log = logs / "deduplication_log_1.txt"
    log.write_text("\n".join(lines) + "\n")
    assert repair(tmp_path) == 1
    assert log.read_text().splitlines() == [line for line in lines if "ghost" not in line]
    assert repair(tmp_path) == 0
