"""Rollups are what counting row by row gives, and no block has more days than a table takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
import otlp_strategies
import twin
import twin_uses
from hypothesis import example, given, settings
from hypothesis import strategies as st
from native_rows import differences, rows_of

from headgate.collector.buckets import bucket_index
from headgate.collector.dimension import Dimension, dimension_rows
from headgate.collector.grouping import group, packed
from headgate.collector.heap import Heap, intern
from headgate.collector.kernel import as_buffer
from headgate.collector.layout import Text
from headgate.collector.process import Request, process
from headgate.collector.rollup import usage_rows, user_rows
from headgate.collector.rules import Rules
from headgate.collector.signals import Signal
from headgate.collector.times import batches_by_day, seconds
from headgate.collector.uses import Names, Uses
from headgate.store import histogram
from headgate.store.histogram import LARGEST_NS

if TYPE_CHECKING:
    from headgate.collector.measures import Measures

DAY_NS = 86_400_000_000_000
# What tells a row's day, for the tables that are partitioned by it.
PARTITION = {
    "otel_traces": ("Timestamp", DAY_NS),
    "events": ("Timestamp", DAY_NS),
    "otel_metrics_gauge": ("TimeUnix", DAY_NS),
    "usage_minute": ("Time", 86_400),
    "user_hour": ("Time", 86_400),
}
SMALL = st.integers(0, 3)
USE = st.fixed_dictionaries(
    {
        "time_ns": st.integers(0, 4).map(lambda i: otlp_strategies.BASE_NS + i * 45_000_000_000)
        | st.sampled_from((1, 2**32 * 10**9 - 1, 2**32 * 10**9, 2**63 - 1)),
        "service": SMALL,
        "operation": SMALL,
        "kind": st.integers(0, 6),
        "entry": st.booleans(),
        "outcome": st.integers(0, 2),
        "duration_ns": st.sampled_from((0, 1, 2, 2**63, 2**64 - 1)) | st.integers(0, 10**10),
        "adjusted": st.sampled_from((1.0, 2.0, 2.0**56)),
        "user_hash": st.sampled_from((0, 1, 2**63, 2**64 - 1)),
    }
)


def uses_of(rows: list[dict], *, timed: bool) -> Uses:
    """Return rows as columns; texts, which rollups do not look at, are empty."""

    def column(name: str, dtype: type) -> np.ndarray:
        return np.array([row[name] for row in rows], dtype)

    none = Text(np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64))
    names = Text(np.arange(4), np.ones(4, np.int64))
    return Uses(
        source=np.arange(len(rows)),
        time_ns=column("time_ns", np.int64),
        service=Names(column("service", np.int32), names),
        operation=Names(column("operation", np.int32), names),
        kind=column("kind", np.uint8),
        entry=column("entry", bool),
        outcome=column("outcome", np.uint8),
        timed=timed,
        duration_ns=column("duration_ns", np.uint64),
        adjusted=column("adjusted", np.float64),
        user=none,
        user_hash=column("user_hash", np.uint64),
        session=none,
        trace_id=none,
        span_id=none,
        fingerprint=np.zeros(len(rows), np.uint64),
        error_type=none,
        error_message=none,
        value=np.full(len(rows), np.nan),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(USE, min_size=1, max_size=40), st.booleans())
def test_usage(rows, timed):
    """Each minute, service, operation, kind, entry and outcome has the counts of its calls."""
    cells = defaultdict(list)
    names = ("service", "operation", "kind", "entry", "outcome")
    for row in rows:
        key = (twin_uses.floor(row["time_ns"], 60), *(int(row[name]) for name in names))
        cells[key].append(row)
    found = usage_rows(uses_of(rows, timed=timed))
    keys = [found.time_s, *(getattr(found, name) for name in names)]
    assert_measured(keys, found.measures, cells, timed=timed)


def assert_measured(keys: list, measures: Measures, cells: dict, *, timed: bool) -> None:
    """Assert that the rows with these columns of keys measure exactly the calls of `cells`."""
    keys = list(zip(*(column.astype(int).tolist() for column in keys), strict=True))
    assert sorted(keys) == sorted(cells)
    buckets = defaultdict(dict)
    for row, bucket, count in zip(
        measures.cell_row.tolist(),
        measures.bucket.tolist(),
        measures.bucket_calls.tolist(),
        strict=True,
    ):
        assert bucket not in buckets[row]
        buckets[row][bucket] = count
    for i, key in enumerate(keys):
        calls = cells[key]
        durations = [row["duration_ns"] for row in calls]
        assert measures.calls[i] == len(calls)
        assert measures.calls_adjusted[i] == sum(row["adjusted"] for row in calls)
        assert np.isclose(measures.duration_sum[i], float(sum(durations)), rtol=1e-14)
        assert np.isclose(measures.duration_sum_squares[i], float(sum(d * d for d in durations)))
        assert measures.duration_min[i] == min(durations)
        assert measures.duration_max[i] == max(durations)
        assert buckets[i] == (Counter(map(twin_uses.bucket, durations)) if timed else {})


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(USE, SMALL, SMALL), min_size=1, max_size=40).filter(
        lambda rows: any(row["entry"] and (a or b) for row, a, b in rows)
    ),
    st.booleans(),
)
def test_dimensions(rows, timed):
    """Each quarter of an hour, dimension, value, service, kind and outcome has the counts of its entries."""
    words = {"first": [b"x", b"y", b"z"], "second": [b"z", b"y", b"x"]}
    entries = [(row, *values) for row, *values in rows if row["entry"]]
    cells = defaultdict(list)
    dimensions = []
    for number, (name, known) in enumerate(words.items()):
        codes = [values[number] - 1 for _, *values in entries]
        dimensions.append(Dimension(name, np.array(codes), known))
        for (row, *_), code in zip(entries, codes, strict=True):
            if code >= 0:
                place = (row["service"], row["kind"], row["outcome"])
                quarter = twin_uses.floor(row["time_ns"], 900)
                cells[quarter, number, known[code], *place].append(row)
    found = dimension_rows(uses_of([row for row, *_ in rows], timed=timed), dimensions)
    assert len(set(found.words)) == len(found.words)
    cells = {(*key[:2], found.words.index(key[2]), *key[3:]): of for key, of in cells.items()}
    keys = [found.time_s, found.dimension, found.value, found.service, found.kind, found.outcome]
    assert_measured(keys, found.measures, cells, timed=timed)


@settings(max_examples=100)
@given(st.lists(st.lists(SMALL, min_size=3, max_size=3), min_size=1, max_size=20))
def test_packed(rows):
    """Packed keys are equal where all keys are, also when the product of their ranges is beyond 64 bits."""
    columns = np.array(rows).T
    key = packed(*((column, 2**30 + i) for i, column in enumerate(columns)))
    for i, one in enumerate(rows):
        assert [k == key[i] for k in key] == [one == other for other in rows]


@settings(max_examples=100, deadline=None)
@given(st.lists(USE, min_size=1, max_size=40))
def test_users(rows):
    """Each hour, service, operation and user has its calls and errors, each user a first and last second."""
    hours, seen = defaultdict(lambda: [0, 0]), defaultdict(list)
    for row in rows:
        if row["entry"] and row["user_hash"]:
            hour = twin_uses.floor(row["time_ns"], 3600)
            cell = hours[hour, row["service"], row["operation"], row["user_hash"]]
            cell[0] += 1
            cell[1] += row["outcome"] != 0
            seen[row["user_hash"]].append(twin_uses.floor(row["time_ns"], 1))
    found = user_rows(uses_of(rows, timed=True))
    if found is None:
        assert not hours
        return
    users, people = found
    columns = (users.time_s, users.service, users.operation, users.user_hash)
    keys = list(zip(*(c.tolist() for c in columns), strict=True))
    counts = [list(pair) for pair in zip(users.calls.tolist(), users.errors.tolist(), strict=True)]
    assert dict(zip(keys, counts, strict=True)) == hours
    assert len(keys) == len(hours)
    times = zip(people.first_s.tolist(), people.last_s.tolist(), strict=True)
    found_seen = dict(zip(people.user_hash.tolist(), times, strict=True))
    assert found_seen == {user: (min(at), max(at)) for user, at in seen.items()}


@settings(max_examples=100)
@given(st.lists(st.tuples(SMALL, st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=30))
def test_group(rows):
    """Rows with equal keys, and only those, share a group."""
    first, second = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    groups = group(first, second)
    found = [part.tolist() for part in np.split(groups.order, groups.start[1:])]
    assert sorted(i for part in found for i in part) == list(range(len(rows)))
    assert len({rows[i] for i in groups.first}) == len(found) == len(set(rows))
    assert all(len({rows[i] for i in part}) == 1 for part in found)
    assert groups.count().tolist() == [len(part) for part in found]


@settings(max_examples=200)
@given(
    st.lists(
        st.integers(0, 2**64 - 1)
        | st.sampled_from([int(n) + step for n in LARGEST_NS[:-1] for step in (0, 1)]),
        min_size=1,
    )
)
@example([0, 1, 2, 2**53, 2**53 + 1, 2**63, 2**64 - 1])
def test_buckets(durations):
    """The kernel finds the bucket that a search among all bounds finds, on both sides of every bound."""
    duration_ns = np.array(durations, np.uint64)
    assert bucket_index(duration_ns).tolist() == histogram.bucket_index(duration_ns).tolist()


@settings(max_examples=100)
@given(st.lists(st.integers(0, 2**63 - 1), min_size=1), st.sampled_from((1, 60, 900, 3600)))
@example([0, 2**32 * 10**9 - 1, 2**32 * 10**9, 2**63 - 1], 60)
def test_seconds(times, unit):
    """Units begin where division says, within what 32 bits of seconds hold."""
    found = seconds(np.array(times, np.int64), unit)
    assert found.tolist() == [twin_uses.floor(t, unit) for t in times]
    assert all(t % unit == 0 for t in found.tolist())


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 400)), min_size=1, max_size=200),
    st.integers(1, 60),
    st.integers(400, 5000),
)
def test_batches(rows, max_days, max_bytes):
    """Every row is in one block; no block has too many days, or more bytes than allowed by more than one row."""
    day, size = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    blocks = batches_by_day(day * DAY_NS + size, size, max_days, max_bytes)
    numbers = [np.arange(len(rows)) if block is None else block for block in blocks]
    assert sorted(np.concatenate(numbers).tolist()) == list(range(len(rows)))
    for block in numbers:
        assert np.unique(day[block]).size <= max_days
        assert size[block].sum() < max_bytes + 400
    if np.unique(day).size <= max_days and size.sum() <= max_bytes:
        assert blocks == [None]


def test_many_days():
    """Spans and points of 120 days come in blocks of at most ten partitions, with all their rows."""
    times = [otlp_strategies.BASE_NS + day * DAY_NS for day in range(120)]
    rng = np.random.default_rng(3)
    rng.shuffle(times)
    span = [{"name": "x", "start_time_unix_nano": t, "end_time_unix_nano": t + 9} for t in times]
    for row in span:
        row["attributes"] = [{"key": "user.id", "value": {"string_value": "u"}}]
    points = [{"time_unix_nano": t, "as_int": i} for i, t in enumerate(times)]
    metric = {"name": "m", "gauge": {"data_points": points}}
    for signal, items in (
        (Signal.TRACES, {"spans": span}),
        (Signal.METRICS, {"metrics": [metric]}),
    ):
        (field,) = otlp_strategies.REQUESTS[signal].fields
        scopes = field.message_type.fields_by_name[field.name.replace("resource", "scope")].name
        tree = {field.name: [{scopes: [items]}]}
        body = otlp_strategies.canonical(otlp_strategies.REQUESTS[signal], tree)
        requests = [Request(signal, body, 120, otlp_strategies.BASE_NS + 119 * DAY_NS)]
        rules = Rules(oldest_ns=120 * DAY_NS)
        blocks = process(requests, rules=rules)
        assert not differences(rows_of(blocks), twin.tables(requests, rules))
        for block in blocks:
            if block.table in PARTITION:
                column, day = PARTITION[block.table]
                assert len({row[column] // day for row in rows_of([block])[block.table]}) <= 10
        split = Counter(block.table for block in blocks)
        wanted = {"otel_traces", "events", "usage_minute", "user_hour"}
        wanted = wanted if signal is Signal.TRACES else {"otel_metrics_gauge"}
        assert {table for table, count in split.items() if count == 12} == wanted


def test_interning_survives_growth():
    """Equal strings have equal codes in order of first appearance, far beyond the first table's size."""
    words = [b"%d" % (i * 7919 % 5000) for i in range(20_000)]
    heap = Heap(as_buffer(b""))
    codes, distinct = intern(heap, heap.add_texts(words))
    assert heap.read(distinct) == list(dict.fromkeys(words))
    place = {word: code for code, word in enumerate(dict.fromkeys(words))}
    assert codes.tolist() == [place[word] for word in words]
