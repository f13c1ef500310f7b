"""What the embedded engine could not write whole: it does not tell, so it is found, undone and stored again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from spans import wait_until, writes_fail_after

from headgate.store.ghosts import forget_ghosts, noted
from headgate.store.repair import repair, repair_open
from headgate.store.watch import FAILED_WRITES, Watch
from headgate.store.whole import is_whole, parts_in, set_aside_broken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.store import Store

FAILED = f"SELECT value FROM system.events WHERE event = '{FAILED_WRITES}'"
NAMES = (
    "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = '{}' AND active"
    " ORDER BY name"
)
SETTINGS = {
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}


def place(store: Store, table: str = "events") -> Path:
    found = store.client().query(
        "SELECT data_paths[1] FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        parameters={"name": table},
    )
    return Path(found.result_rows[0][0])


def insert(store: Store, number: int, rows: int = 100) -> None:
    """Insert rows of random names, which do not compress, under a token."""
    store.client().command(
        "INSERT INTO events (Timestamp, ServiceName, Operation, Duration)"
        f" SELECT now64(9), 'shop', randomPrintableASCII(200), {number} FROM numbers({rows})",
        settings={**SETTINGS, "insert_deduplication_token": f"token {number}"},
    )


def counts(store: Store) -> dict[int, int]:
    """Return how many rows of each insert there are, read whole."""
    rows = store.client().query(
        "SELECT Duration, count(), sum(length(Operation)) FROM events GROUP BY ALL ORDER BY ALL"
    )
    assert all(length == 200 * count for _, count, length in rows.result_rows)
    return {number: count for number, count, _ in rows.result_rows}


def names(store: Store, table: str = "events") -> list[str]:
    return [name for (name,) in store.client().query(NAMES.format(table)).result_rows]


@pytest.fixture
def quiet(store: Store) -> Iterator[Store]:
    """Return a store that merges when it is told to."""
    client = store.client()
    client.command("SYSTEM STOP MERGES")
    yield store
    client.command("SYSTEM START MERGES")


@pytest.fixture(params=["packed", "files"])
def table(quiet: Store, request: pytest.FixtureRequest) -> Store:
    """Return the quiet store, with parts of `events` packed or in separate files."""
    if request.param == "files":
        client = quiet.client()
        client.command("ALTER TABLE events MODIFY SETTING min_bytes_for_full_part_storage = 0")
    return quiet


def test_an_insert_that_could_not_be_written_is_stored_when_it_is_repeated(table: Store) -> None:
    """The engine reports success and has lost the rows; then the repetition is stored, once, and others are known."""
    watch = Watch(table)
    watch.look()  # other tests may have failed writes behind them
    insert(table, 1)
    assert watch.look()
    with writes_fail_after(4000):
        insert(table, 2)
    assert table.client().query(FAILED).result_rows[0][0] > 0
    with pytest.raises(Exception, match=r"Cannot read|CANNOT_READ|Attempt to read|checksum"):
        counts(
            table
        )  # where this reads all rows, the engine tells of failed writes: `repair` can go
    insert(table, 3)
    assert not watch.look()
    assert counts(table) == {1: 100, 3: 100}
    for number in (1, 2, 3, 2):
        insert(table, number)
    assert counts(table) == {1: 100, 2: 100, 3: 100}
    assert watch.look()
    kept = {path.name.partition("_")[0] for path in (place(table) / "detached").iterdir()}
    assert kept <= {"broken", "broken-on-start"}
    assert kept


def test_a_merge_that_could_not_be_written_is_undone(table: Store) -> None:
    """What it was merged of is there again, tokens and all."""
    watch = Watch(table)
    for number in range(4):
        insert(table, number)
    watch.look()
    before = names(table)
    client = table.client()
    client.command("SYSTEM START MERGES events")
    with writes_fail_after(40_000):
        client.command("OPTIMIZE TABLE events FINAL")
    client.command("SYSTEM STOP MERGES events")
    assert len(names(table)) == 1
    assert not watch.look()
    assert names(table) == before
    assert counts(table) == dict.fromkeys(range(4), 100)
    for number in range(4):
        insert(table, number)
    assert counts(table) == dict.fromkeys(range(4), 100)
    client.command("SYSTEM START MERGES events")
    client.command("OPTIMIZE TABLE events FINAL")
    assert watch.look()
    assert counts(table) == dict.fromkeys(range(4), 100)


def test_rows_that_were_removed_do_not_come_back(table: Store) -> None:
    """Where a part could not be rewritten without them, the part of before is there again, and is rewritten again."""
    watch = Watch(table)
    for number in range(2):
        insert(table, number)
    watch.look()
    client = table.client()
    client.command("SYSTEM START MERGES events")
    with writes_fail_after(4000):
        client.command(
            "ALTER TABLE events DELETE WHERE Duration = 0 OR rand() % 2 SETTINGS mutations_sync = 2"
        )
    assert not watch.look()
    wait_until(
        lambda: (
            not client.query(
                "SELECT 1 FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"
            ).result_rows
        )
    )
    assert 0 < counts(table)[1] < 100
    assert counts(table).keys() == {1}
    assert watch.look()


def test_a_part_of_a_view_that_could_not_be_written(quiet: Store) -> None:
    """The table has the rows and its rollup does not: after a repetition both have them, once."""
    client = quiet.client()
    statement = (
        "INSERT INTO usage_minute (Time, ServiceName, Operation, Calls) SELECT"
        " toDateTime('2026-01-01', 'UTC') + number % 3 * 86400, 'shop', toString(number), 1 FROM numbers(300)"
    )
    settings = {**SETTINGS, "insert_deduplication_token": "a"}
    client.command(statement, settings=settings)
    (broken,) = [name for name in names(quiet, "usage_day") if name.startswith("2026")]
    archive = place(quiet, "usage_day") / broken / "data.packed"
    archive.write_bytes(archive.read_bytes()[:-1])
    assert repair_open(quiet, 0.0).tables == {"usage_day"}
    for _ in range(2):
        client.command(statement, settings=settings)
    for name in ("usage_minute", "usage_quarter", "usage_day"):
        assert client.query(f"SELECT sum(Calls) FROM {name}").result_rows == [(300,)], name


def test_a_token_that_could_not_be_noted(quiet: Store) -> None:
    """Its rows would be stored twice when the table is opened again: they are taken off until they are repeated."""
    for number in range(3):
        insert(quiet, number)
    client = quiet.client()
    client.command("SYSTEM START MERGES events")
    client.command("OPTIMIZE TABLE events FINAL")
    client.command("SYSTEM STOP MERGES events")
    (log,) = (place(quiet) / "deduplication_logs").glob("*.txt")
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-1]) + lines[-1][:20])  # torn
    assert repair_open(quiet, 4e9).tables == set(), "that was before the time in doubt"
    assert repair_open(quiet, 0.0).tables == {"events"}
    assert counts(quiet) == {0: 100, 1: 100}
    for number in range(3):
        insert(quiet, number)
    assert counts(quiet) == dict.fromkeys(range(3), 100)


def test_a_torn_line_of_a_log_costs_no_other_token(quiet: Store) -> None:
    """The engine would forget all that follow it; the one behind it on the same line is kept as well."""
    for number in range(5):
        insert(quiet, number)
    path = place(quiet)
    quiet.client().command("DETACH TABLE events SYNC")
    (log,) = (path / "deduplication_logs").glob("*.txt")
    lines = log.read_text().splitlines(keepends=True)
    for cut in range(len(lines[1])):
        log.write_text(lines[0] + lines[1][:cut] + "".join(lines[2:]))
        assert len(noted(path)) == 4, cut
    assert forget_ghosts(path) == 0
    quiet.client().command("ATTACH TABLE events")
    for number in (0, 2, 3, 4):
        insert(quiet, number)
    assert counts(quiet) == dict.fromkeys(range(5), 100)


def test_an_archive_is_whole_or_it_is_not(quiet: Store, tmp_path: Path) -> None:
    """Cut at any byte it is recognised; what has no archive, or one of another version, is left to the engine."""
    insert(quiet, 1)
    (name,) = names(quiet)
    part = tmp_path / "202611_1_1_0"
    shutil.copytree(place(quiet) / name, part)
    archive = part / "data.packed"
    data = archive.read_bytes()
    assert is_whole(part)
    ends = {*range(300), *range(300, len(data), 997), len(data) - 1}
    for end in ends:
        archive.write_bytes(data[:end])
        assert not is_whole(part), end
    archive.write_bytes(b"\x07" + data[1:10])
    assert is_whole(part)
    archive.unlink()
    assert is_whole(part)


def test_what_becomes_of_broken_parts_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of an engine that is not open: rows of the journal, of a merge with and without its sources, of a source."""
    table = tmp_path / "store" / "abc" / "abc-1"
    fates = {
        "202611_1_1_1": "stored again",
        "202611_2_4_1": "is in its place",
        "202611_6_8_1": "are lost",
        "202611_9_9_0": "merged of it is there",
    }
    for name in fates:
        (table / name).mkdir(parents=True)
        (table / name / "data.packed").touch()
    for name in ("202611_2_2_0", "202611_3_4_1", "202611_9_12_1", "detached/broken_202611_1_1_1"):
        (table / name).mkdir(parents=True)
    (table / "format_version.txt").touch()
    assert repair(tmp_path) == 4
    said = {r.args[1]: r.getMessage() for r in caplog.records}
    assert said.keys() == fates.keys()
    assert all(fates[name] in said[name] for name in fates)
    assert set(parts_in(table)) == {"202611_2_2_0", "202611_3_4_1", "202611_9_12_1"}
    assert (table / "detached" / "broken_202611_1_1_1_try1").is_dir()
    assert set_aside_broken(table) == 0
