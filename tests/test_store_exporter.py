"""Queries of the stock exporter's and Grafana's users run unchanged on our tables."""

from __future__ import annotations

import json

import pytest

from headgate.store import embedded_store, migrate
from headgate.store.columns import COLUMNS

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
START_NS = 1772409600000000000  # 2026-03-02 00:00:00 UTC
FROM, TO = START_NS // 10**9 - 60, START_NS // 10**9 + 600

SPANS = [
    {
        "Timestamp": "2026-03-02 00:00:00.000000001",
        "TraceId": TRACE,
        "SpanId": "00f067aa0ba902b7",
        "ParentSpanId": "",
        "SpanName": "GET /orders",
        "SpanKind": "Server",
        "ServiceName": "shop",
        "ResourceAttributes": {"service.name": "shop", "host.name": "a"},
        "SpanAttributes": {"http.route": "/orders", "http.response.status_code": "500"},
        "Duration": 1_500_000_000,
        "StatusCode": "Error",
        "StatusMessage": "boom",
        "Events.Timestamp": ["2026-03-02 00:00:01", "2026-03-02 00:00:01.5"],
        "Events.Name": ["retry", "exception"],
        "Events.Attributes": [{}, {"exception.type": "ValueError"}],
        "Links.TraceId": ["aa"],
        "Links.SpanId": ["bb"],
        "Links.TraceState": [""],
        "Links.Attributes": [{"k": "v"}],
    },
    {
        "Timestamp": "2026-03-02 00:00:00.5",
        "TraceId": TRACE,
        "SpanId": "00f067aa0ba902b8",
        "ParentSpanId": "00f067aa0ba902b7",
        "SpanName": "SELECT orders",
        "SpanKind": "Client",
        "ServiceName": "shop",
        "SpanAttributes": {"db.system": "sqlite"},
        "Duration": 2_000_000,
        "StatusCode": "Unset",
    },
    {
        "Timestamp": "2026-03-02 00:01:00",
        "TraceId": "f" * 32,
        "SpanId": "01",
        "SpanName": "GET /health",
        "SpanKind": "Server",
        "ServiceName": "pay",
        "Duration": 1000,
        "StatusCode": "Ok",
    },
]
LOGS = [
    {
        "Timestamp": "2026-03-02 00:00:01",
        "TraceId": TRACE,
        "SpanId": "00f067aa0ba902b7",
        "SeverityText": "ERROR",
        "SeverityNumber": 17,
        "ServiceName": "shop",
        "Body": "Order 5 FAILED: timeout",
        "ResourceAttributes": {"service.name": "shop"},
        "ScopeAttributes": {"lib": "x"},
        "LogAttributes": {"user": "7"},
        "EventName": "order.failed",
    },
    {
        "Timestamp": "2026-03-02 00:00:02",
        "SeverityText": "INFO",
        "SeverityNumber": 9,
        "ServiceName": "shop",
        "Body": "ready",
    },
]


def points(name: str, values: list[float], **more) -> list[dict]:
    """Return points of one series, a minute apart from 00:00."""
    return [
        {
            "ServiceName": "shop",
            "MetricName": name,
            "Attributes": {"route": "/orders"},
            "StartTimeUnix": "2026-03-02 00:00:00",
            "TimeUnix": f"2026-03-02 00:0{minute}:00",
            "Value": value,
            **more,
        }
        for minute, value in enumerate(values)
    ]


@pytest.fixture(scope="module")
def client(engine_path):
    """Yield a client of a database with the rows above, which no test changes."""
    store = embedded_store(engine_path, "exporter")
    migrate(store)
    store.client().command("SYSTEM STOP TTL MERGES")
    histogram = {
        "ServiceName": "shop",
        "MetricName": "http.server.duration",
        "TimeUnix": "2026-03-02 00:00:00",
        "Count": 10,
        "Sum": 55.5,
        "BucketCounts": [1, 4, 5],
        "ExplicitBounds": [0.1, 1.0],
        "Exemplars.TraceId": [TRACE],
        "Exemplars.SpanId": ["00f067aa0ba902b7"],
        "Exemplars.Value": [0.7],
        "Exemplars.TimeUnix": ["2026-03-02 00:00:00"],
        "Exemplars.FilteredAttributes": [{"a": "b"}],
        "AggregationTemporality": 2,
    }
    summary = {
        "ServiceName": "shop",
        "MetricName": "gc",
        "TimeUnix": "2026-03-02 00:00:00",
        "Count": 4,
        "Sum": 4.0,
        "ValueAtQuantiles.Quantile": [0.5, 0.9],
        "ValueAtQuantiles.Value": [1.0, 2.0],
    }
    exponential = {
        "ServiceName": "shop",
        "MetricName": "latency",
        "TimeUnix": "2026-03-02 00:00:00",
        "Count": 3,
        "Scale": 1,
        "PositiveOffset": -1,
        "PositiveBucketCounts": [1, 2],
    }
    for table, rows in {
        "otel_traces": SPANS,
        "otel_logs": LOGS,
        "otel_metrics_gauge": points("cpu", [0.5, 0.75]),
        "otel_metrics_sum": points(
            "requests", [0, 60, 180], AggregationTemporality=2, IsMonotonic=True
        ),
        "otel_metrics_histogram": [histogram],
        "otel_metrics_exponential_histogram": [exponential],
        "otel_metrics_summary": [summary],
    }.items():
        lines = "\n".join(map(json.dumps, rows))
        store.client().raw_insert(table, None, lines, fmt="JSONEachRow")
    yield store.client()
    store.client().command("DROP DATABASE exporter SYNC")
    store.close()


TIMES = f">= toDateTime({FROM}) AND Timestamp <= toDateTime({TO})"

QUERIES = {
    "trace by id through the table of times": (
        f"""
        WITH '{TRACE}' AS trace_id,
            (SELECT min(Start) FROM otel_traces_trace_id_ts WHERE TraceId = trace_id) AS start,
            (SELECT max(End) + 1 FROM otel_traces_trace_id_ts WHERE TraceId = trace_id) AS end
        SELECT SpanId, ParentSpanId, SpanName, Duration FROM otel_traces
        WHERE TraceId = trace_id AND Timestamp >= start AND Timestamp <= end
        ORDER BY Timestamp
        """,
        [
            ("00f067aa0ba902b7", "", "GET /orders", 1_500_000_000),
            ("00f067aa0ba902b8", "00f067aa0ba902b7", "SELECT orders", 2_000_000),
        ],
    ),
    "trace view: milliseconds, tags and status": (
        f"""
        SELECT TraceId AS traceID, SpanId AS spanID, ServiceName AS serviceName,
            toUnixTimestamp64Milli(Timestamp) AS startTime, Duration * 0.000001 AS duration,
            arrayMap(key -> map('key', key, 'value', SpanAttributes[key]),
                mapKeys(SpanAttributes)) AS tags,
            if(StatusCode IN ('Error', 'STATUS_CODE_ERROR'), 2, 0) AS statusCode,
            arrayMap((name, time, attributes) ->
                tuple(name, toString(toUnixTimestamp64Milli(time)), length(attributes)),
                Events.Name, Events.Timestamp, Events.Attributes) AS logs,
            arrayMap((trace, span) -> tuple(trace, span), Links.TraceId, Links.SpanId) AS references
        FROM otel_traces WHERE TraceId = '{TRACE}' AND SpanKind = 'Server'
        """,
        [
            (
                TRACE,
                "00f067aa0ba902b7",
                "shop",
                START_NS // 10**6,
                1500.0,
                [
                    {"key": "http.route", "value": "/orders"},
                    {"key": "http.response.status_code", "value": "500"},
                ],
                2,
                [
                    ("retry", str(START_NS // 10**6 + 1000), 0),
                    ("exception", str(START_NS // 10**6 + 1500), 1),
                ],
                [("aa", "bb")],
            )
        ],
    ),
    "slow or failed spans by attribute": (
        f"""
        SELECT SpanName, SpanAttributes['http.route'], ResourceAttributes['host.name']
        FROM otel_traces
        WHERE Timestamp {TIMES} AND ServiceName = 'shop' AND Duration > 1e9
            AND SpanAttributes['http.response.status_code'] = '500'
            AND mapContains(SpanAttributes, 'http.route')
        """,
        [("GET /orders", "/orders", "a")],
    ),
    "spans with an exception event": (
        """
        SELECT SpanName, Events.Attributes[indexOf(Events.Name, 'exception')]['exception.type']
        FROM otel_traces WHERE has(Events.Name, 'exception')
        """,
        [("GET /orders", "ValueError")],
    ),
    "one row an event": (
        """
        SELECT SpanId, event FROM otel_traces ARRAY JOIN Events.Name AS event ORDER BY event
        """,
        [("00f067aa0ba902b7", "exception"), ("00f067aa0ba902b7", "retry")],
    ),
    "requests by service and minute": (
        f"""
        SELECT toStartOfInterval(toDateTime(Timestamp), INTERVAL 60 second) AS time, ServiceName,
            count() AS calls, countIf(StatusCode = 'Error') AS errors,
            round(quantile(0.5)(Duration) / 1e6) AS ms
        FROM otel_traces WHERE Timestamp {TIMES} AND SpanKind = 'Server' AND ParentSpanId = ''
        GROUP BY time, ServiceName ORDER BY time
        """,
        [("shop", 1, 1, 1500.0), ("pay", 1, 0, 0.0)],
    ),
    "names for a variable": (
        "SELECT DISTINCT ServiceName FROM otel_traces ORDER BY ServiceName",
        [("pay",), ("shop",)],
    ),
    "attribute keys for a variable": (
        "SELECT DISTINCT arrayJoin(mapKeys(SpanAttributes)) AS key FROM otel_traces ORDER BY key",
        [("db.system",), ("http.response.status_code",), ("http.route",)],
    ),
    "logs search": (
        f"""
        SELECT Timestamp, Body AS body, lower(SeverityText) AS level,
            LogAttributes['user'], ResourceAttributes['service.name'], ScopeAttributes['lib']
        FROM otel_logs
        WHERE Timestamp {TIMES} AND SeverityText IN ('ERROR', 'FATAL')
            AND positionCaseInsensitive(Body, 'failed:') > 0
        ORDER BY Timestamp DESC LIMIT 100
        """,
        [("Order 5 FAILED: timeout", "error", "7", "shop", "x")],
    ),
    "logs of a trace": (
        f"SELECT Body, SpanId, EventName FROM otel_logs WHERE TraceId = '{TRACE}'",
        [("Order 5 FAILED: timeout", "00f067aa0ba902b7", "order.failed")],
    ),
    "log volume by level": (
        f"""
        SELECT toStartOfInterval(toDateTime(Timestamp), INTERVAL 60 second) AS time,
            SeverityText AS level, count() FROM otel_logs WHERE Timestamp {TIMES}
        GROUP BY time, level ORDER BY level
        """,
        [("ERROR", 1), ("INFO", 1)],
    ),
    "gauge": (
        """
        SELECT toUnixTimestamp(TimeUnix), Attributes['route'], avg(Value) FROM otel_metrics_gauge
        WHERE MetricName = 'cpu' GROUP BY 1, 2 ORDER BY 1
        """,
        [(START_NS // 10**9, "/orders", 0.5), (START_NS // 10**9 + 60, "/orders", 0.75)],
    ),
    "rate of a monotonic sum": (
        """
        SELECT rate FROM
        (
            SELECT TimeUnix, (Value - lagInFrame(Value) OVER series)
                / (toUnixTimestamp(TimeUnix) - toUnixTimestamp(lagInFrame(TimeUnix) OVER series))
                AS rate, row_number() OVER series AS number
            FROM otel_metrics_sum
            WHERE MetricName = 'requests' AND IsMonotonic AND AggregationTemporality = 2
            WINDOW series AS (PARTITION BY ServiceName, Attributes ORDER BY TimeUnix)
        )
        WHERE number > 1 ORDER BY TimeUnix
        """,
        [(1.0,), (2.0,)],
    ),
    "histogram buckets and exemplars": (
        f"""
        SELECT Sum / Count, arrayCumSum(BucketCounts), ExplicitBounds,
            Exemplars.Value[indexOf(Exemplars.TraceId, '{TRACE}')]
        FROM otel_metrics_histogram WHERE MetricName = 'http.server.duration'
        """,
        [(5.55, [1, 5, 10], [0.1, 1.0], 0.7)],
    ),
    "exponential histogram": (
        """
        SELECT Scale, arrayMap((count, i) -> (PositiveOffset + i - 1, count),
            PositiveBucketCounts, arrayEnumerate(PositiveBucketCounts))
        FROM otel_metrics_exponential_histogram
        """,
        [(1, [(-1, 1), (0, 2)])],
    ),
    "summary quantiles": (
        """
        SELECT ValueAtQuantiles.Value[indexOf(ValueAtQuantiles.Quantile, 0.9)]
        FROM otel_metrics_summary
        """,
        [(2.0,)],
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_query_answers(client, name):
    """A query as users of the stock exporter write it gives the rows it should."""
    sql, expected = QUERIES[name]
    rows = client.query(sql).result_rows
    # Leading time columns, which the client makes objects of, are left out of what is expected.
    width = len(expected[0])
    assert [row[-width:] for row in rows] == expected


STOCK_TRACES = (
    "Timestamp TraceId SpanId ParentSpanId TraceState SpanName SpanKind ServiceName"
    " ResourceAttributes ScopeName ScopeVersion SpanAttributes Duration StatusCode StatusMessage"
    " Events.Timestamp Events.Name Events.Attributes"
    " Links.TraceId Links.SpanId Links.TraceState Links.Attributes"
)
STOCK_LOGS = (
    "Timestamp TraceId SpanId TraceFlags SeverityText SeverityNumber ServiceName Body"
    " ResourceSchemaUrl ResourceAttributes ScopeSchemaUrl ScopeName ScopeVersion ScopeAttributes"
    " LogAttributes EventName"
)


def test_names_and_order_are_the_stock_exporters():
    """The exporter's columns are all there in its order, and nothing is between them."""
    assert " ".join(c.name for c in COLUMNS["otel_traces"]) == STOCK_TRACES
    assert " ".join(c.name for c in COLUMNS["otel_logs"]) == STOCK_LOGS


def test_no_timestamp_time(store):
    """Grafana takes the mere presence of TimestampTime for the old schema: it must be absent."""
    assert "TimestampTime" not in store.tables()["otel_logs"]


def test_the_exporter_can_write_here(store, client):
    """An insert that lists the stock columns only works: our own column has a default."""
    names = ", ".join(f"`{name}`" for name in STOCK_TRACES.split())
    store.client().command(
        f"INSERT INTO otel_traces ({names}) SELECT {names} FROM exporter.otel_traces"
    )
    rows = store.client().query("SELECT count(), sum(Weight) FROM otel_traces")
    assert rows.result_rows == [(3, 3.0)]


def test_a_trace_by_id_opens_few_rows(client):
    """Trace lookup goes through the indexes: the plan names the sparse key and the bloom filter."""
    plan = client.query(
        "EXPLAIN indexes = 1 SELECT * FROM otel_traces"
        f" WHERE TraceId = '{TRACE}' AND Timestamp >= toDateTime({FROM})"
    ).result_rows
    text = "\n".join(line for (line,) in plan)
    assert "idx_trace_id" in text
    assert "Partition" in text
