"""`headgate sampling simulate`: what it says would be kept is kept, its error bars hold, and settings are tried."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from sampler_traffic import renamed, segment
from sampling_traffic import BUSY, NOW, SECOND, log_request, trace_request
from typer.testing import CliRunner

from headgate.cli.sampling import app
from headgate.cli.simulation import Outcome, Traffic, recorded, synthetic
from headgate.collector.policy import Policy
from headgate.collector.rules import Rules
from headgate.collector.sampler import Law, State, decide
from headgate.collector.signals import Signal
from headgate.store import StoreError

LAW = Law(low=300, high=3000, rate=0.1)


def run(*arguments: str):
    return CliRunner().invoke(app, ["simulate", *arguments], catch_exceptions=False)


def test_error_bars_hold():
    """Over 400 draws the weighted count of each stratum lies within its 95 % bar about 95 times in a hundred."""
    rng = np.random.default_rng(1)
    trace = np.repeat(np.arange(900), 3)
    rows = segment(rng, trace, stratum=np.minimum(rng.zipf(1.5, trace.size), 6) - 1)
    outcome = Outcome()
    outcome.add(rows, decide(rows, LAW, State.new(1)), str)
    names = {key - 1: stratum for key, stratum in outcome.strata.items()}
    truth = np.bincount(rows.stratum, minlength=6)
    assert [names[s].requests for s in range(6)] == truth.tolist()
    hits = np.zeros(6)
    total_hits = 0
    for _ in range(400):
        drawn = renamed(rows, rng)
        found = decide(drawn, LAW, State.new(1)).rows_kept
        weights = np.where(found.kept, found.weight, 0.0)
        counts = np.bincount(rows.stratum, weights=weights, minlength=6)
        bars = np.array([names[s].error * truth[s] for s in range(6)])
        hits += np.abs(counts - truth) <= bars + 1e-9
        total_hits += abs(weights.sum() - truth.sum()) <= outcome.total.error * truth.sum()
    # Five standard errors of a share of 400; estimates of few traces are not quite normal.
    assert (hits / 400 >= 0.95 - 0.06).all()
    assert 0.89 <= total_hits / 400 <= 1


def test_nothing_is_uncertain_below_the_threshold():
    """Where everything is kept, counts are exact, and the table says so."""
    done = run("--rate", "500", "--duration", "60s")
    assert done.exit_code == 0
    assert "exact" in done.output
    assert "100.0%" in done.output
    assert "± " not in done.output.replace("count ± 95 %", "")


def test_synthetic_traffic_is_kept_by_the_law():
    """Long after the start, what is expected to be kept is the law's share, and strata add up to the total."""
    traffic = Traffic(requests=6000, duration_s=300, operations=10, errors=0.1)
    outcome = synthetic(traffic, Law(1000, 10_000, 0.1), State.new(1))
    assert outcome.total.requests == pytest.approx(30_000, rel=0.05)
    assert outcome.total.expected == pytest.approx(
        5 * 1000, rel=0.35
    )  # the first minute keeps more
    assert sum(s.requests for s in outcome.strata.values()) == outcome.total.requests
    assert sum(s.expected for s in outcome.strata.values()) == pytest.approx(outcome.total.expected)
    assert outcome.rows == outcome.total.requests * 5
    again = synthetic(traffic, Law(1000, 10_000, 0.1), State.new(1))
    assert again.strata == outcome.strata


def test_recorded_requests_are_sampled_as_the_collector_does():
    """Traces and logs of a recording have their own strata by name, and the numbers of the real sampler."""
    rng = np.random.default_rng(2)
    requests = [trace_request(rng, 500), log_request(rng, 2000, start_ns=NOW + SECOND)]
    found = recorded(requests, BUSY, Rules())
    traces, logs = found[Signal.TRACES], found[Signal.LOGS]
    assert traces.total.requests == 1000
    assert (traces.rows, traces.rows_kept) == (1500, traces.rows_kept)
    assert 0 < traces.rows_kept < 1000
    names = {tuple(json.loads(s.name)) for s in traces.strata.values()}
    assert ("shop", "GET /1", "ok") in names
    assert ("shop", "GET /1", "error") in names
    assert {tuple(json.loads(s.name)) for s in logs.strata.values()} == {
        ("shop", severity, "app") for severity in ("debug", "info", "warn", "error")
    }
    assert recorded(requests, Policy(), Rules())[Signal.TRACES].total.variance == 0


def test_files_and_json(tmp_path):
    """A file of requests is read, tried settings are used, and JSON has every stratum with its error."""
    rng = np.random.default_rng(3)
    path = tmp_path / "traces.bin"
    path.write_bytes(trace_request(rng, 800).body)
    done = run("--from", str(path), "--low", "100", "--high", "1000", "--format", "json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["budgets"]["traces"]["low"] == 100
    traces = found["signals"]["traces"]
    assert traces["total"]["requests"] == 1600
    assert traces["probability"] == pytest.approx(0.1)
    assert sum(s["requests"] for s in traces["strata"]) == 1600
    assert all(s["relative_error_95"] >= 0 for s in traces["strata"])
    assert {s["name"][0] for s in traces["strata"]} == {"shop", "stock"}


def test_names_are_shown_as_they_are(tmp_path):
    """Nothing that a sender calls itself is taken for colour, breaks the table, or reaches the terminal's controls."""
    path = tmp_path / "traces.jsonl"
    span = {"traceId": "1" * 32, "spanId": "1" * 16, "name": "[/red]pay\x1b[2J", "kind": 2}
    span |= {"startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW + 1)}
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}) + "\n")
    done = run("--from", str(path))
    assert done.exit_code == 0, done.output
    assert "[/red]pay\\x1b[2J" in done.output
    assert "\x1b" not in done.output


def test_the_table_fits_eighty_columns():
    """However long the names, no line is wider than a terminal."""
    done = run("--rate", "20000", "--duration", "5s", "--operations", "500", "--low", "100")
    assert max(map(len, done.output.splitlines())) <= 80
    assert re.search(r"\d+ others", done.output)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either --from FILE or --rate REQUESTS"),
        (["--rate", "5", "--from", "x"], "give either --from FILE or --rate REQUESTS"),
        (["--rate", "5", "--duration", "soon"], "'soon' is no duration"),
        (["--rate", "5", "--share", "2"], "traces.rate must be a probability above 0"),
        (["--from", "missing.bin"], "cannot read the traffic"),
    ],
)
def test_what_cannot_be_simulated_is_said(arguments, said):
    """A question that cannot be answered is one sentence with its remedy."""
    with pytest.raises(StoreError, match=re.escape(said)):
        run(*arguments)
