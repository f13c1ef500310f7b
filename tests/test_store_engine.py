"""The embedded engine's traps stay closed: a failure leaves its handle clean for the next query."""

from __future__ import annotations

import subprocess
import sys
import threading

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.store import NoData, StoreError, embedded_store

MANY = "SELECT number, toString(number) AS s FROM numbers(1000000)"

# Each fails after it has produced output, or as a command whose header line is output.
FAILURES = {
    "throwIf in mid-result": lambda c: c.query(
        "SELECT number, throwIf(number = 900000) FROM numbers(1000000)"
    ),
    "throwIf in a raw query": lambda c: c.raw_query(
        "SELECT number, throwIf(number = 900000) FROM numbers(1000000)", fmt="TabSeparated"
    ),
    "max_result_rows": lambda c: c.query(
        MANY, settings={"max_result_rows": 500_000, "result_overflow_mode": "throw"}
    ),
    "max_execution_time": lambda c: c.query(
        "SELECT number, sleepEachRow(0.01) FROM numbers(100)",
        settings={"max_execution_time": 0.3, "max_block_size": 1},
    ),
    "out of memory": lambda c: c.query(
        "SELECT number, length(range(if(number = 90000, 100000000, 1))) FROM numbers(100000)",
        settings={"max_memory_usage": 100_000_000, "max_block_size": 1000, "max_threads": 1},
    ),
    "a failing command": lambda c: c.command("SELECT throwIf(number = 3) FROM numbers(5)"),
    "an insert of bytes that are no block": lambda c: c.raw_insert(
        "numbers", ["Version"], b"\x01\x05nothing", fmt="Native"
    ),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_does_not_reach_the_next_result(empty_store, kind):
    """After each kind of failure the same handle answers the next query with that query's rows."""
    client = empty_store.client()
    client.command("CREATE TABLE numbers (Version UInt32) ENGINE = MergeTree ORDER BY ()")
    for follow in (
        lambda: client.query("SELECT 'x' AS a, 7 AS b").result_rows == [("x", 7)],
        lambda: client.command("SELECT 42") == 42,
        lambda: client.raw_query("SELECT 'y'", fmt="TabSeparated") == b"y\n",
    ):
        for _ in range(2):
            with pytest.raises(ClickHouseError):
                FAILURES[kind](client)
        assert follow()


def test_the_engine_still_has_the_trap(engine_path):
    """Without our drain a failed query's bytes do come first; if they stop to, remove the drain."""
    client = clickhouse_connect.get_client(interface="chdb", path=str(engine_path))
    with pytest.raises(ClickHouseError):
        client.raw_query("SELECT throwIf(number = 900000) FROM numbers(1000000)", fmt="CSV")
    assert client.raw_query("SELECT 'y'", fmt="CSV") != b'"y"\n'
    client.close()


def test_a_failed_query_does_not_reach_another_handle(empty_store):
    """Two threads have two handles: one fails all the time, the other's results are its own."""
    clients = [empty_store.client()]
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        clients.append(empty_store.client())
        for number in range(100):
            rows = empty_store.client().query(f"SELECT {number}").result_rows
            if rows != [(number,)]:
                wrong.append(rows)
        done.set()

    thread = threading.Thread(target=read)
    thread.start()
    while not done.is_set():
        with pytest.raises(ClickHouseError):
            empty_store.client().query(
                "SELECT number, throwIf(number = 90000) FROM numbers(100000)"
            )
    thread.join()
    assert wrong == []
    assert clients[0] is empty_store.client()
    assert clients[0] is not clients[1]


def test_two_handles_work_at_the_same_time(empty_store):
    """A query on one handle answers while a long one runs on another, so no lock is shared."""
    started = threading.Event()
    order: list[str] = []

    def long() -> None:
        client = empty_store.client()
        started.set()
        client.query("SELECT sleep(1.5)")
        order.append("long")

    thread = threading.Thread(target=long)
    thread.start()
    started.wait()
    assert empty_store.client().query("SELECT 1").result_rows == [(1,)]
    order.append("short")
    thread.join()
    assert order == ["short", "long"]


def test_a_closed_store_opens_again(empty_store):
    """After close each thread gets a fresh client, and closing twice is harmless."""
    first = empty_store.client()
    empty_store.close()
    empty_store.close()
    assert empty_store.client() is not first
    assert empty_store.client().query("SELECT 1").result_rows == [(1,)]


def test_no_database(engine_path):
    """A store without its database is NoData with a sentence, and has no tables."""
    nothing = embedded_store(engine_path, "never_made")
    with pytest.raises(NoData, match=r"^there is no database 'never_made' in .* yet$"):
        nothing.client()
    assert nothing.tables() == {}


def test_another_path_in_the_same_process(engine_path, tmp_path):
    """The engine's limit of one path a process is a sentence, not a crash."""
    with pytest.raises(StoreError, match=r"^cannot open the embedded store in .*/other: "):
        embedded_store(tmp_path / "other", "default").client()


def test_a_second_process_on_the_same_files(engine_path):
    """A process that forgot the directory's lock is refused in one sentence."""
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from headgate.store import StoreError, embedded_store\n"
        "try:\n    embedded_store(Path(sys.argv[1]), 'default').client()\n"
        "except StoreError as error:\n    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(engine_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stdout == (
        f"cannot open the embedded store in {engine_path}: another process uses it\n"
    )


def test_tables(store):
    """The tables, their columns and types are listed as they are, the optional Weight among them."""
    tables = store.tables()
    assert "Weight" in tables["otel_traces"]
    assert list(tables["user_seen"]) == ["UserHash", "FirstSeen", "LastSeen"]
    assert tables["user_seen"]["UserHash"] == "UInt64"


def test_arrow_comes_block_by_block(empty_store):
    """What streams is what comes at once, in many batches, with settings of its own; also nothing at all."""
    client = empty_store.client()
    statement = (
        "SELECT number AS n, if(n % 3 = 0, '', repeat('é', n % 7)) AS s, [n, n] AS a"
        " FROM numbers({rows:UInt64})"
    )
    with client.query_arrow_stream(
        statement, parameters={"rows": 10_000}, settings={"max_block_size": 100}
    ) as stream:
        batches = list(stream)
    assert len(batches) >= 100
    table = pa.Table.from_batches(batches)
    whole = client.query_arrow(statement, parameters={"rows": 10_000})
    assert table.to_pydict() == whole.to_pydict()
    with client.query_arrow_stream(statement, parameters={"rows": 0}) as stream:
        assert list(stream) == []
    assert client.query("SELECT getSetting('max_block_size')").result_rows[0][0] > 100


def test_an_arrow_stream_that_fails_or_is_left_leaves_the_handle_usable(empty_store):
    """The error is the statement's, batches before it have come, and the next answer is its own."""
    client = empty_store.client()
    statement = (
        "SELECT throwIf(number = 9_000, 'it is wrong') AS n FROM system.numbers LIMIT 20_000"
    )
    settings = {"max_block_size": 100, "max_threads": 1}
    came = []

    def read() -> None:
        with client.query_arrow_stream(statement, settings=settings) as stream:
            came.extend(batch.num_rows for batch in stream)

    with pytest.raises(ClickHouseError, match="it is wrong"):
        read()
    assert 0 < sum(came) <= 9_000
    assert client.query("SELECT 1").result_rows == [(1,)]
    endless = "SELECT number FROM system.numbers"
    with client.query_arrow_stream(endless, settings=settings) as stream:
        next(iter(stream))
    assert client.query("SELECT 2").result_rows == [(2,)]
