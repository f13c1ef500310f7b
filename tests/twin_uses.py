"""The slow twin of what is counted: uses of spans and named logs, and the rollups of them, by plain loops."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import twin_values
import xxhash

from headgate.store.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from native_rows import Row, Tables

    from headgate.collector.rules import Identity, Rules


def believed(rules: Rules, arrival_ns: int, *times: int) -> int:
    """Return the first time that is set and within the rules' window around the arrival, else the arrival."""
    within = (t for t in times if -rules.oldest_ns <= t - arrival_ns <= rules.newest_ns)
    return next((t for t in within if 0 < t < 2**63), arrival_ns)


def duration(span: Any, rules: Rules) -> int:
    """Return a span's nanoseconds, 0 when it does not say when it began, ended before, or took too long."""
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    most = rules.oldest_ns + rules.newest_ns
    return end - start if 0 < start < end <= start + most else 0


def hash_users(message: Any, identity: Identity) -> None:
    """Replace in a request what names a user by its keyed hash, if there is a key; not inside values."""
    if message.DESCRIPTOR.name == "AnyValue" or not identity.key:
        return
    if message.DESCRIPTOR.name == "KeyValue":
        said = twin_values.text(message.value)
        wanted = message.key.decode(errors="replace") in {*identity.user, *identity.also_hashed}
        if wanted and said and said.decode(errors="replace") not in identity.nobody:
            digest = hashlib.blake2b(said, key=identity.key, digest_size=16)
            message.value.string_value = digest.hexdigest().encode()
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                hash_users(each, identity)


def threshold(trace_state: bytes) -> int | None:
    """Return T of the first member `ot`, by its first sub-key `th`; None when there is none or it is malformed."""
    for member in trace_state.split(b","):
        vendor = re.match(rb"[ \t]*ot=(.*)\Z", member, re.DOTALL)
        if not vendor:
            continue
        for pair in vendor[1].split(b";"):
            if pair.startswith(b"th:"):
                digits = pair[3:].rstrip(b" \t")
                well_formed = re.fullmatch(rb"[0-9a-f]{1,14}", digits)
                return int(digits.ljust(14, b"0"), 16) if well_formed else None
        return None
    return None


def weight(trace_state: bytes) -> float:
    """Return the adjusted count that a trace state tells, 1 when it tells none."""
    t = threshold(trace_state)
    return 1.0 if t is None else 2**56 / (2**56 - t)


def _one(pairs: Any, *keys: bytes) -> Any:
    """Return the AnyValue of the first of `keys` that is there, in the order of `keys`."""
    for key in keys:
        for pair in pairs:
            if pair.key == key:
                return pair.value
    return None


def _text(pairs: Any, *keys: bytes) -> bytes:
    value = _one(pairs, *keys)
    return b"" if value is None else twin_values.text(value)


def _integer(pairs: Any, *keys: bytes) -> int | None:
    value = _one(pairs, *keys)
    return value.int_value if value is not None and value.HasField("int_value") else None


def _user(own: Any, resource: Any, identity: Identity) -> Row:
    user = _first(own, resource, identity.user, identity)
    return {
        "UserId": user,
        "UserHash": xxhash.xxh64_intdigest(user) if user else 0,
        "SessionId": _first(own, resource, identity.session, identity),
    }


def _first(own: Any, resource: Any, keys: Sequence[str], identity: Identity) -> bytes:
    """Return the first value that names somebody, key by key, a use's own before its resource's."""
    for key in keys:
        for pairs in (own, resource):
            said = _text(pairs, key.encode())
            if said and said.decode(errors="replace") not in identity.nobody:
                return said
    return b""


def _outcome(error_type: bytes, *, late: bool) -> bytes:
    name = error_type.lower()
    return b"timeout" if late or b"timeout" in name or b"deadline" in name else b"error"


def dimensions(own: Any, resource: Any, rules: Rules) -> dict[bytes, bytes]:
    """Return the dimensions of a use by its own attributes and its resource's."""
    found = {}
    for name, keys in rules.dimensions:
        for key in keys:
            for pairs in (own, resource):
                value = _one(pairs, key.removesuffix("/100").encode())
                if value is None or name.encode() in found:
                    continue
                if not key.endswith("/100"):
                    said = twin_values.text(value)
                    said = said if len(said) <= 256 else b"__other__"
                elif value.HasField("int_value") and value.int_value >= 0:
                    said = b"%dxx" % (value.int_value // 100)
                else:
                    said = b""
                if said:
                    found[name.encode()] = said
    return found


def span_use(span: Any, resource: Any, row: Row, rules: Rules) -> Row:
    """Return what is known of a span as a use; `row` is its row of `otel_traces`."""
    own = span.attributes
    track = _one(own, b"headgate.track")
    http = (b"http.response.status_code", b"http.status_code")
    error_type = stack = message = b""
    outcome = b"ok"
    print_ = 0
    if span.status.code == 2:
        for event in span.events:
            if event.name == b"exception":
                error_type = _text(event.attributes, b"exception.type")
                stack = _text(event.attributes, b"exception.stacktrace")
                message = _text(event.attributes, b"exception.message")
        error_type = error_type or _text(own, b"error.type") or _text(own, *http)
        message = message or span.status.message
        late = _integer(own, *http) in {408, 504} or _integer(own, b"rpc.grpc.status_code") == 4
        outcome = _outcome(error_type, late=late)
        print_ = fingerprint(error_type, stack, message)
    return {
        **{name: row[name] for name in ("Timestamp", "ServiceName", "Duration")},
        **{name: row[name] for name in ("TraceId", "SpanId")},
        **_user(own, resource, rules.identity),
        "Dimensions": dimensions(own, resource, rules),
        "Operation": span.name,
        "Kind": row["SpanKind"],
        "Entry": span.kind in {2, 5}
        or not span.parent_span_id
        or (track is not None and track.bool_value),
        "Outcome": outcome,
        "Weight": weight(span.trace_state),
        "Fingerprint": print_,
        "ErrorType": error_type,
        "ErrorMessage": message,
        "Value": None,
        "Attributes": row["SpanAttributes"],
    }


def log_use(record: Any, resource: Any, row: Row, rules: Rules) -> Row | None:
    """Return what is known of a named record as a use; `row` is its row of `otel_logs`."""
    if not row["EventName"]:
        return None
    own = record.attributes
    failed = record.severity_number >= 17
    error_type = _text(own, b"exception.type", b"error.type") if failed else b""
    message = _text(own, b"exception.message") if failed else b""
    stack = _text(own, b"exception.stacktrace")
    value = _one(own, b"headgate.event.value")
    kind = value.WhichOneof("value") if value is not None else None
    amount = float(getattr(value, kind)) if kind in {"int_value", "double_value"} else None
    return {
        **{name: row[name] for name in ("Timestamp", "ServiceName", "TraceId", "SpanId")},
        **_user(own, resource, rules.identity),
        "Dimensions": dimensions(own, resource, rules),
        "Duration": None,
        "Operation": row["EventName"],
        "Kind": b"Event",
        "Entry": True,
        "Outcome": _outcome(error_type, late=False) if failed else b"ok",
        "Weight": weight(b"ot=th:" + _text(own, b"sampling.threshold")),
        "Fingerprint": fingerprint(error_type, stack, message) if failed else 0,
        "ErrorType": error_type,
        "ErrorMessage": message,
        "Value": None if amount is None or amount != amount else amount,  # noqa: PLR0124 - NaN
        "Attributes": row["LogAttributes"],
    }


def floor(time_ns: int, unit_s: int) -> int:
    """Return the second at which a time's minute, hour or second began, within what 32 bits hold."""
    last = (2**32 // unit_s - 1) * unit_s
    return min(time_ns // 10**9 // unit_s * unit_s, last)


def bucket(duration_ns: int) -> int:
    """Return i such that 2^(i/32) < d <= 2^((i+1)/32), in integers; zero has a bucket of its own."""
    return (duration_ns**32 - 1).bit_length() - 1 if duration_ns else -32768


def tables(uses: Sequence[Row]) -> Tables:
    """Return the rows of events and of what is counted exactly, of the uses of one signal."""
    minutes: dict[tuple[Any, ...], Row] = {}
    quarters: dict[tuple[Any, ...], Row] = {}
    hours: dict[tuple[Any, ...], Row] = {}
    seen: dict[int, Row] = {}
    for use in uses:
        place = ("ServiceName", "Operation", "Kind", "Entry", "Outcome")
        _count(
            minutes,
            use,
            {"Time": floor(use["Timestamp"], 60), **{name: use[name] for name in place}},
        )
        for name, value in use["Dimensions"].items() if use["Entry"] else ():
            key = {"Time": floor(use["Timestamp"], 900), "Dimension": name, "Value": value}
            place = ("ServiceName", "Kind", "Outcome")
            _count(quarters, use, {**key, **{name: use[name] for name in place}})
        if use["Entry"] and use["UserHash"]:
            _count_user(hours, seen, use)
    for row in (*minutes.values(), *quarters.values()):
        row["DurationBuckets"] = [list(pair) for pair in sorted(row["DurationBuckets"].items())]
    return {
        "events": [_event(use) for use in uses if use["Entry"]],
        "usage_minute": list(minutes.values()),
        "dimension_quarter": list(quarters.values()),
        "user_hour": list(hours.values()),
        "user_seen": list(seen.values()),
    }


def _event(use: Row) -> Row:
    return {name: value for name, value in use.items() if name not in {"Entry", "Dimensions"}} | {
        "UpstreamWeight": use["Weight"],
        "Kind": b"event" if use["Kind"] == b"Event" else b"span",
        "Duration": use["Duration"] or 0,
    }


def _count(rows: dict[tuple[Any, ...], Row], use: Row, key: Row) -> None:
    fresh = {
        **key,
        "Calls": 0,
        "CallsAdjusted": 0.0,
        "DurationSum": 0.0,
        "DurationSumSquares": 0.0,
        "DurationMin": 2**64,
        "DurationMax": 0,
        "DurationBuckets": {},
    }
    row = rows.setdefault(tuple(key.values()), fresh)
    d = use["Duration"] or 0
    row["Calls"] += 1
    row["CallsAdjusted"] += use["Weight"]
    row["DurationSum"] += float(d)
    row["DurationSumSquares"] += float(d) * float(d)
    row["DurationMin"] = min(row["DurationMin"], d)
    row["DurationMax"] = max(row["DurationMax"], d)
    if use["Duration"] is not None:
        i = bucket(d)
        row["DurationBuckets"][i] = row["DurationBuckets"].get(i, 0) + 1


def _count_user(hours: dict[tuple[Any, ...], Row], seen: dict[int, Row], use: Row) -> None:
    key = {
        "Time": floor(use["Timestamp"], 3600),
        **{name: use[name] for name in ("ServiceName", "Operation", "UserHash")},
    }
    row = hours.setdefault(tuple(key.values()), {**key, "Calls": 0, "Errors": 0})
    row["Calls"] += 1
    row["Errors"] += use["Outcome"] != b"ok"
    second = floor(use["Timestamp"], 1)
    who = {"UserHash": use["UserHash"], "FirstSeen": second, "LastSeen": second}
    person = seen.setdefault(use["UserHash"], who)
    person["FirstSeen"] = min(person["FirstSeen"], second)
    person["LastSeen"] = max(person["LastSeen"], second)
