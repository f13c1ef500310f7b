"""Sources: codes, bytes, domains and reliability by direct counting; what is no longer used stays, marked."""

from __future__ import annotations

import importlib
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from report_rows import NOW, add_spans
from scipy import stats

from headgate.queries import ReportError, get_source_performance, run
from headgate.store.histogram import RELATIVE_ERROR

if TYPE_CHECKING:
    from headgate.store import Store


@pytest.fixture
def drawn(store: Store) -> list[dict[str, Any]]:
    random = np.random.default_rng(12)
    found = []
    for number in range(400):
        code = int(random.choice([200, 201, 404, 500, 504], p=[0.7, 0.1, 0.1, 0.05, 0.05]))
        attributes = {"server.address": f"h{number % 3}.example", "http.response.body.size": "100"}
        key = "http.response.status_code" if number % 2 else "http.status_code"
        attributes[key] = str(code)
        if number % 4 == 0:
            attributes["http.request.body.size"] = str(number)
        if number % 5 == 0:
            attributes = {}
        found.append(
            {
                "SpanName": ("GET /a", "GET /b")[number % 2],
                "StatusCode": "Error" if code >= 500 else "Unset",
                "Duration": int(random.lognormal(16, 1)),
                "SpanAttributes": attributes,
            }
        )
    gone = [
        {"SpanName": "GET /old", "Timestamp": NOW - timedelta(days=days)} for days in (30, 20, 200)
    ]
    add_spans(store, [*found, *gone])
    return found


def test_each_source_by_direct_counting(store: Store, drawn: list[dict[str, Any]]) -> None:
    """Codes of either convention, bytes of both bodies, domains, percentiles and proved success of every source."""
    answer = run("sources", store, now=NOW, where={"": ""})
    rows = {row.operation: row for row in answer.rows}
    for operation in ("GET /a", "GET /b"):
        mine = [use for use in drawn if use["SpanName"] == operation]
        said = [use["SpanAttributes"] for use in mine]
        codes = Counter(a.get("http.response.status_code", a.get("http.status_code")) for a in said)
        row = rows[operation]
        sizes = [
            int(a.get("http.request.body.size", 0)) + int(a["http.response.body.size"])
            for a in said
            if a
        ]
        well = sum(use["StatusCode"] == "Unset" for use in mine)
        assert row.state == "active"
        assert row.client_errors.value == codes["404"]
        assert row.server_errors.value == codes["500"] + codes["504"]
        assert row.timeout_count.value == codes["504"]
        assert row.transferred_bytes.value == sum(sizes)
        assert row.bytes_per_call == round(np.mean(sizes), 2)
        assert row.unique_domains.value == 3
        assert row.success_rate.value == round(well / len(mine), 4)
        wilson = stats.binomtest(well, len(mine)).proportion_ci(method="wilson").low
        assert row.proved_rate == pytest.approx(wilson, abs=1e-4)
        ms = [use["Duration"] / 1e6 for use in mine]
        assert row.p95_ms.value == pytest.approx(np.percentile(ms, 95), rel=RELATIVE_ERROR)
        assert row.codes[0] == f"200 {codes['200'] / len(mine):.1%}"
    shares = [code.share for code in answer.summary.codes]
    assert sum(shares) == pytest.approx(0.8, abs=1e-3)  # one in five has no attributes
    assert answer.summary.unique_domains.value == 3


def test_what_is_no_longer_used_stays_and_is_marked(
    store: Store, drawn: list[dict[str, Any]]
) -> None:
    """A source of the 90 days before is `deprecated`, with the time of its last use; one long gone is not told of."""
    answer = run("sources", store, now=NOW, where={"": ""})
    old = answer.rows[-1]
    assert (old.operation, old.state, old.calls.value) == ("GET /old", "deprecated", 0)
    assert old.last_used_at == NOW - timedelta(days=20)
    assert (answer.summary.active, answer.summary.deprecated) == (2, 1)
    short = run("sources", store, now=NOW, where={"": ""}, lookback_days=10)
    assert [row.operation for row in short.rows] == ["GET /a", "GET /b"]


@pytest.mark.parametrize("most_characters", [0, 16_384])
def test_a_name_in_use_elsewhere_does_not_hide_what_is_no_longer_used(
    store: Store, monkeypatch: pytest.MonkeyPatch, most_characters: int
) -> None:
    """A service's unused source is told of, though another uses one of that name; also where names are not sent."""
    module = importlib.import_module("headgate.queries.reports.sources")
    monkeypatch.setattr(module, "MOST_LABEL_CHARACTERS", most_characters)
    plan = {"SpanAttributes": {"plan": "gold"}}
    old = NOW - timedelta(days=3)
    add_spans(
        store,
        [
            {"ServiceName": "till", **plan},
            {"ServiceName": "shop", "Timestamp": old, **plan},
            {"ServiceName": "till", "Timestamp": old, **plan},
            {"ServiceName": "van", "Timestamp": old},
        ],
    )
    answer = run("sources", store, now=NOW, where={"plan": "gold"})
    assert [(row.service, row.state, row.last_used_at) for row in answer.rows] == [
        ("till", "active", answer.rows[0].last_used_at),
        ("shop", "deprecated", old),
    ]
    assert answer.rows[0].last_used_at > old


def test_a_source_may_say_that_it_is_deprecated(store: Store) -> None:
    """`headgate.deprecated` marks a source that is still used."""
    add_spans(store, [{"SpanAttributes": {"headgate.deprecated": "true"}}, {"SpanName": "new"}])
    answer = run("sources", store, now=NOW, where={"": ""})
    assert {row.operation: row.state for row in answer.rows} == {
        "buy": "deprecated",
        "new": "active",
    }


def test_one_source_by_name(store: Store, drawn: list[dict[str, Any]]) -> None:
    """get_source_performance gives the report's row; an unknown or ambiguous source is answered with what there is."""
    row = get_source_performance("GET /a", "24h", store=store, now=NOW, where={"": ""})
    assert row == next(
        r for r in run("sources", store, now=NOW, where={"": ""}, operation="GET /a").rows
    )
    domain = get_source_performance("h1.example", "24h", by="server.address", store=store, now=NOW)
    assert domain.calls.value == sum(
        use["SpanAttributes"].get("server.address") == "h1.example" for use in drawn
    )
    with pytest.raises(ReportError, match=r"h9\.example.*there are: h"):
        get_source_performance("h9.example", "24h", by="server.address", store=store, now=NOW)
    add_spans(store, [{"SpanName": "GET /a", "ServiceName": "till"}])
    with pytest.raises(ReportError, match="give service= one of: shop, till"):
        get_source_performance("GET /a", "24h", store=store, now=NOW, where={"": ""})


def test_what_some_hours_answered_stands_for_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations read by a few of their hours say how often codes come, in 95 % intervals, though in bursts.

    48 operations of 400 hours and some 16 uses an hour, read by one hour in 4; a small one is read whole.
    """
    store.client().command(
        """
        INSERT INTO events (Timestamp, Kind, ServiceName, Operation, Outcome, Attributes)
        WITH intDiv(number, 16) % 400 AS hour, intDiv(number, 6400) AS operation,
            sipHash64(hour, operation) % 10 = 0 AS bad
        SELECT {since:DateTime('UTC')} + hour * 3600 + number % 16, 'span', 'shop', toString(operation), 'ok',
            map('http.response.status_code', if(sipHash64(number) % 100 < if(bad, 60, 2), '500', '200'),
                'http.response.body.size', toString(sipHash64(number, 1) % 1000))
        FROM numbers(48 * 6400)
        WHERE sipHash64(number, 2) % 10 < 9
        UNION ALL
        SELECT {since:DateTime('UTC')} + number * 3600, 'span', 'shop', 'small', 'ok',
            map('http.response.status_code', '404')
        FROM numbers(5)
        """,
        parameters={"since": NOW - timedelta(hours=400)},
    )
    store.client().command(
        """
        INSERT INTO usage_minute (Time, ServiceName, Operation, Kind, Entry, Outcome, Calls, CallsAdjusted)
        SELECT toStartOfMinute(Timestamp), ServiceName, Operation, 'Server', true, Outcome, count(), count()
        FROM events GROUP BY ALL
        """
    )
    monkeypatch.setattr("headgate.queries.reading.MOST_USES", 48 * 1440)
    since = NOW - timedelta(hours=401)
    found = {row.operation: row for row in run("sources", store, now=NOW, since=since).rows}
    truth = store.client().query(
        "SELECT Operation, countIf(Attributes['http.response.status_code'] = '500'),"
        " sum(toUInt64OrZero(Attributes['http.response.body.size'])) FROM events GROUP BY Operation"
    )
    held, bytes_held, ratios = [], [], []
    for operation, errors, size in truth.result_rows:
        row = found[operation]
        if operation == "small":
            assert row.codes == ("404 100.0%",)
            assert row.client_errors.value == 5
            assert row.client_errors.exact
            continue
        ratios.append(row.server_errors.value / errors)
        bytes_held.append(row.transferred_bytes.low <= size <= row.transferred_bytes.high)
        if not row.server_errors.reason:  # too few bad hours were read
            held.append(row.server_errors.low <= errors <= row.server_errors.high)
    # Intervals of 95 %; of 48, 40 or fewer would hold the truth once in 400 times.
    assert len(held) > 36
    assert np.mean(held) > 40 / 48
    assert np.mean(bytes_held) > 40 / 48
    assert np.mean(ratios) == pytest.approx(1, abs=4 * np.std(ratios) / np.sqrt(len(ratios)))
