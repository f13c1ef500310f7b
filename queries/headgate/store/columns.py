"""The schema as typed columns: what the collector writes into each table, in the DDL's order.

The types are those of a `Native` block: SimpleAggregateFunction(f, T) takes plain T, a Nested
column is one array for each of its parts. Columns that the table computes (`otel_traces.Weight`) are left out.
The DDL in migrations/ is the other description of the same; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a block: its name and its ClickHouse type as `Native` spells it."""

    name: str
    type: str


def _columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name, type_) for name, type_ in types.items())


def _nested(prefix: str, **types: str) -> tuple[Column, ...]:
    return tuple(Column(f"{prefix}.{name}", f"Array({type_})") for name, type_ in types.items())


NAME = "LowCardinality(String)"
ATTRIBUTES = "Map(LowCardinality(String), String)"
NANOSECONDS = "DateTime64(9, 'UTC')"
SECONDS = "DateTime('UTC')"

_METRIC = _columns(
    ResourceAttributes=ATTRIBUTES,
    ResourceSchemaUrl="String",
    ScopeName="String",
    ScopeVersion="String",
    ScopeAttributes=ATTRIBUTES,
    ScopeDroppedAttrCount="UInt32",
    ScopeSchemaUrl="String",
    ServiceName=NAME,
    MetricName=NAME,
    MetricDescription="String",
    MetricUnit="String",
    Attributes=ATTRIBUTES,
    StartTimeUnix=NANOSECONDS,
    TimeUnix=NANOSECONDS,
)
_EXEMPLARS = _nested(
    "Exemplars",
    FilteredAttributes=ATTRIBUTES,
    TimeUnix=NANOSECONDS,
    Value="Float64",
    SpanId="String",
    TraceId="String",
)
_NUMBER = (*_METRIC, *_columns(Value="Float64", Flags="UInt32"), *_EXEMPLARS)
_DISTRIBUTION_END = _columns(
    Flags="UInt32", Min="Float64", Max="Float64", AggregationTemporality="Int32"
)
_MEASURES = _columns(
    Calls="UInt64",
    CallsAdjusted="Float64",
    DurationSum="Float64",
    DurationSumSquares="Float64",
    DurationMin="UInt64",
    DurationMax="UInt64",
    DurationBuckets="Map(Int16, UInt64)",
)

COLUMNS: Mapping[str, tuple[Column, ...]] = MappingProxyType(
    {
        "otel_traces": (
            *_columns(
                Timestamp=NANOSECONDS,
                TraceId="String",
                SpanId="String",
                ParentSpanId="String",
                TraceState="String",
                SpanName=NAME,
                SpanKind=NAME,
                ServiceName=NAME,
                ResourceAttributes=ATTRIBUTES,
                ScopeName="String",
                ScopeVersion="String",
                SpanAttributes=ATTRIBUTES,
                Duration="UInt64",
                StatusCode=NAME,
                StatusMessage="String",
            ),
            *_nested("Events", Timestamp=NANOSECONDS, Name=NAME, Attributes=ATTRIBUTES),
            *_nested(
                "Links",
                TraceId="String",
                SpanId="String",
                TraceState="String",
                Attributes=ATTRIBUTES,
            ),
        ),
        "otel_logs": _columns(
            Timestamp=NANOSECONDS,
            TraceId="String",
            SpanId="String",
            TraceFlags="UInt8",
            SeverityText=NAME,
            SeverityNumber="UInt8",
            ServiceName=NAME,
            Body="String",
            ResourceSchemaUrl=NAME,
            ResourceAttributes=ATTRIBUTES,
            ScopeSchemaUrl=NAME,
            ScopeName="String",
            ScopeVersion=NAME,
            ScopeAttributes=ATTRIBUTES,
            LogAttributes=ATTRIBUTES,
            EventName="String",
        ),
        "otel_metrics_gauge": _NUMBER,
        "otel_metrics_sum": (
            *_NUMBER,
            *_columns(AggregationTemporality="Int32", IsMonotonic="Bool"),
        ),
        "otel_metrics_histogram": (
            *_METRIC,
            *_columns(
                Count="UInt64",
                Sum="Float64",
                BucketCounts="Array(UInt64)",
                ExplicitBounds="Array(Float64)",
            ),
            *_EXEMPLARS,
            *_DISTRIBUTION_END,
        ),
        "otel_metrics_exponential_histogram": (
            *_METRIC,
            *_columns(
                Count="UInt64",
                Sum="Float64",
                Scale="Int32",
                ZeroCount="UInt64",
                PositiveOffset="Int32",
                PositiveBucketCounts="Array(UInt64)",
                NegativeOffset="Int32",
                NegativeBucketCounts="Array(UInt64)",
            ),
            *_EXEMPLARS,
            *_DISTRIBUTION_END,
        ),
        "otel_metrics_summary": (
            *_METRIC,
            *_columns(Count="UInt64", Sum="Float64"),
            *_nested("ValueAtQuantiles", Quantile="Float64", Value="Float64"),
            *_columns(Flags="UInt32"),
        ),
        "events": _columns(
            Timestamp=NANOSECONDS,
            Kind=NAME,
            ServiceName=NAME,
            Operation=NAME,
            Outcome=NAME,
            Duration="UInt64",
            UserId="String",
            UserHash="UInt64",
            SessionId="String",
            TraceId="String",
            SpanId="String",
            Fingerprint="UInt64",
            ErrorType=NAME,
            ErrorMessage="String",
            Value="Nullable(Float64)",
            Attributes=ATTRIBUTES,
            Weight="Float64",
            UpstreamWeight="Float64",
        ),
        "usage_minute": (
            *_columns(
                Time=SECONDS,
                ServiceName=NAME,
                Operation=NAME,
                Kind=NAME,
                Entry="Bool",
                Outcome=NAME,
            ),
            *_MEASURES,
        ),
        "dimension_quarter": (
            *_columns(
                Time=SECONDS,
                Dimension=NAME,
                Value=NAME,
                ServiceName=NAME,
                Kind=NAME,
                Outcome=NAME,
            ),
            *_MEASURES,
        ),
        "user_hour": _columns(
            Time=SECONDS,
            ServiceName=NAME,
            Operation=NAME,
            UserHash="UInt64",
            Calls="UInt64",
            Errors="UInt64",
        ),
        "user_seen": _columns(UserHash="UInt64", FirstSeen=SECONDS, LastSeen=SECONDS),
        "ledger": _columns(
            Time=SECONDS,
            Signal=NAME,
            ServiceName=NAME,
            Received="UInt64",
            Stored="UInt64",
            SampledOut="UInt64",
            Rejected="UInt64",
            Duplicate="UInt64",
            ReceivedBytes="UInt64",
            StoredBytes="UInt64",
            SampledOutBytes="UInt64",
            RejectedBytes="UInt64",
            DuplicateBytes="UInt64",
            Other="UInt64",
            Corrected="UInt64",
        ),
        "sampling_history": (
            *_columns(
                Time=NANOSECONDS,
                TimeEnd=NANOSECONDS,
                Collector=NAME,
                Signal=NAME,
                Low="Float64",
                High="Float64",
                Rate="Float64",
                RowsBudget="Float64",
                Collectors="UInt32",
                WindowRequests="Float64",
                WindowRows="Float64",
                Probability="Float64",
                Cap="Float64",
                LeastProbability="Float64",
                Requests="UInt64",
                Rows="UInt64",
                ExpectedRequests="Float64",
                ExpectedRows="Float64",
                KeptRequests="UInt64",
                KeptRows="UInt64",
                EventsThreshold="UInt64",
                EventsFrom=NANOSECONDS,
                EventsTo=NANOSECONDS,
                StrataBy=NAME,
            ),
            *_nested("Strata", Name=NAME, Requests="UInt64", Expected="Float64", Kept="UInt64"),
        ),
    }
)
