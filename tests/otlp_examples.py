"""One request of each signal that uses every field the tables have, with attributes of every type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from otlp_strategies import BASE_NS

from headgate.collector.check import REQUESTS
from headgate.collector.signals import Signal

if TYPE_CHECKING:
    from google.protobuf.message import Message


def any_value(value: Any) -> AnyValue:  # noqa: PLR0911 - one return a type
    """Return a Python value as an AnyValue."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value={"values": [any_value(item) for item in value]})
        case dict():
            return AnyValue(kvlist_value={"values": pairs(value)})
        case _:
            return AnyValue(string_value=value)


def pairs(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as constructor arguments."""
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


EVERY_TYPE = pairs(
    {
        "text": "gr\u00fc\u00df",
        "yes": True,
        "many": -(2**63),
        "ratio": 0.1,
        "raw": b"\x00\xff",
        "mixed": [1, "a\n", None, 2.5, b"\x01", [True], {"b": 1, "a": {"deep": []}}],
        "empty": None,
        "": "no key",
    }
)
RESOURCE = {"attributes": pairs({"service.name": "shop", "service.version": 2, "host": ["a", "b"]})}
SCOPE = {
    "name": "library",
    "version": "1.2",
    "attributes": pairs({"scope": True}),
    "dropped_attributes_count": 3,
}
IDS = {"trace_id": bytes(range(16)), "span_id": bytes(range(8))}


def message(signal: Signal) -> Message:
    """Return the request of a signal."""
    name, items = _ITEMS[signal]
    scoped = {"scope": SCOPE, "schema_url": "https://scope.example/1", name: items()}
    batch = {
        "resource": RESOURCE,
        "schema_url": "https://resource.example/1",
        f"scope_{signal if signal is not Signal.TRACES else 'spans'}": [scoped],
    }
    (field,) = REQUESTS[signal].fields
    return REQUESTS[signal]._concrete_class(**{field.name: [batch, {}]})


def _spans() -> list[dict[str, Any]]:
    times = {"start_time_unix_nano": BASE_NS, "end_time_unix_nano": BASE_NS + 1_500_000}
    exception = {
        "exception.type": "KeyError",
        "exception.message": "'id 7'",
        "exception.stacktrace": 'Traceback:\n  File "/a/b.py", line 3, in f\nKeyError: 7',
    }
    failed = {
        **IDS,
        **times,
        "parent_span_id": bytes(8),
        "trace_state": "ot=th:8",
        "name": "GET /",
        "kind": 2,
        "attributes": [*EVERY_TYPE, *pairs({"user.id": "u1", "session.id": "s"}), *EVERY_TYPE],
        "events": [
            {"time_unix_nano": BASE_NS + 5, "name": "log", "attributes": EVERY_TYPE},
            {"name": "exception", "attributes": pairs(exception)},
        ],
        "links": [{**IDS, "trace_state": "a=b", "attributes": EVERY_TYPE, "flags": 1}, {}],
        "status": {"code": 2, "message": "failed"},
        "flags": 257,
    }
    return [failed, {**times, "name": "tick", "kind": 1, "status": {"code": 1}}, {}]


def _records() -> list[dict[str, Any]]:
    named = {
        **IDS,
        "time_unix_nano": BASE_NS,
        "observed_time_unix_nano": BASE_NS + 1,
        "severity_number": 17,
        "severity_text": "ERROR",
        "body": any_value({"b": [1, None], "a": "x"}),
        "attributes": [*EVERY_TYPE, *pairs({"enduser.id": 7, "headgate.event.value": 2.5})],
        "flags": 1,
        "event_name": "purchase",
    }
    attributes = pairs({"event.name": "second"})
    return [
        named,
        {"body": any_value("plain")},
        {"attributes": attributes},
        {"body": any_value(0.5)},
    ]


def _metrics() -> list[dict[str, Any]]:
    exemplar = {**IDS, "filtered_attributes": EVERY_TYPE, "time_unix_nano": BASE_NS, "as_int": 3}
    point = {
        "attributes": EVERY_TYPE,
        "start_time_unix_nano": BASE_NS - 1,
        "time_unix_nano": BASE_NS,
        "flags": 1,
    }
    several = {**point, "exemplars": [exemplar, {}]}
    spread = {**several, "count": 3, "sum": 4.5, "min": 0.5, "max": 2.5}
    buckets = {"offset": -2, "bucket_counts": [1, 0, 300]}
    quantiles = [{"quantile": 0.5, "value": 1.5}, {}]
    explicit = {**spread, "bucket_counts": [1, 0, 2], "explicit_bounds": [0.5, 1.5]}
    exponential = {**spread, "scale": -3, "zero_count": 1, "positive": buckets, "negative": buckets}
    told = {"name": "metric", "description": "what it is", "unit": "ms"}
    return [
        {**told, "gauge": {"data_points": [{**several, "as_double": -0.0}, {}]}},
        {
            **told,
            "sum": {
                "data_points": [{**several, "as_int": 2**53 + 1}],
                "aggregation_temporality": 2,
                "is_monotonic": True,
            },
        },
        {**told, "histogram": {"data_points": [explicit, {}], "aggregation_temporality": 1}},
        {**told, "exponential_histogram": {"data_points": [exponential, {}]}},
        {**told, "summary": {"data_points": [{**point, "sum": 1.0, "quantile_values": quantiles}]}},
        {"name": "none"},
    ]


_ITEMS = {
    Signal.TRACES: ("spans", _spans),
    Signal.LOGS: ("log_records", _records),
    Signal.METRICS: ("metrics", _metrics),
}
BODIES = {signal: message(signal).SerializeToString() for signal in Signal}
