"""What was chosen for a segment is in its plan, and the sampler's states outlive it: kills, halves, damage, restart."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from native_rows import rows_of
from sampling_traffic import BUSY, NOW, SECOND, log_request, trace_request

from headgate.collector import delivery, portion
from headgate.collector.decisions import Decisions
from headgate.collector.delivery import Delivery
from headgate.collector.journal import SegmentFile
from headgate.collector.plan import read_plan
from headgate.collector.policy import Policy
from headgate.collector.process import process, process_sampled
from headgate.collector.quarantine import Quarantine
from headgate.collector.rules import Rules
from headgate.collector.sample import Sampling
from headgate.collector.sampling import ALIVE_S, FILE, REFRESH_S, Sampler
from headgate.collector.segment import Segment
from headgate.collector.signals import Signal
from headgate.collector.warmup import warm_up
from headgate.store.document import delete, save

ROWS = {
    "otel_traces": "SELECT SpanId, TraceState FROM otel_traces ORDER BY ALL",
    "otel_logs": "SELECT Body, LogAttributes['sampling.threshold'], LogAttributes['sampling.randomness']"
    " FROM otel_logs ORDER BY ALL",
    "events": "SELECT SpanId, Operation, Weight FROM events ORDER BY ALL",
    "history": "SELECT Signal, sum(Rows), sum(KeptRows) FROM sampling_history GROUP BY Signal ORDER BY Signal",
    "ledger": "SELECT sum(Received), sum(Stored), sum(SampledOut), sum(Rejected) FROM ledger",
    "calls": "SELECT sum(Calls) FROM usage_minute",
}


@pytest.fixture(scope="module", autouse=True)
def kernels():
    """Compile before anything is timed."""
    warm_up()


class Collector:
    """A journal's directory and what is delivered from it, each time as by a process of its own."""

    def __init__(self, store, directory):
        self._store = store
        self.directory = directory
        self.quarantine = Quarantine(directory / "quarantine")

    def segment(self, requests) -> Segment:
        identity = os.urandom(16).hex()
        path = self.directory / f"{NOW}-{identity}.journal"
        path.write_bytes(b"segment")
        return Segment(SegmentFile(path, identity, 7), (list(requests), []))

    def sampler(self, policy=BUSY) -> Sampler:
        return Sampler(
            self.directory, policy, new_id=lambda: os.urandom(16).hex(), monotonic_s=lambda: 0.0
        )

    def deliver(self, segment, policy=BUSY, sampler=None):
        sampler = sampler or self.sampler(policy)
        return Delivery(self._store, self.quarantine, sampler, retry_s=0.001).deliver(segment)

    def rows(self) -> dict[str, list]:
        return {name: self._store.client().query(sql).result_rows for name, sql in ROWS.items()}


@pytest.fixture
def collector(store, tmp_path):
    return Collector(store, tmp_path)


@pytest.fixture
def killed(monkeypatch):
    """Return a function: after so many inserts the next one ends the process, as a kill would."""
    real, left = delivery.insert_block, [10**9]

    def insert(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise SystemExit
        real(*arguments)

    monkeypatch.setattr(delivery, "insert_block", insert)

    def after(inserts):
        left[0] = inserts

    return after


def traffic(seed=1, traces=600, logs=600):
    rng = np.random.default_rng(seed)
    return [trace_request(rng, traces), log_request(rng, logs), trace_request(rng, traces // 2)]


@pytest.mark.parametrize("inserts", range(0, 8, 2))
def test_killed_between_plan_and_release_the_same_rows_are_stored_once(collector, killed, inserts):
    """Whatever was inserted by then, whatever the next process samples by: what the plan has chosen is stored."""
    segment = collector.segment(traffic())
    killed(inserts)
    with pytest.raises(SystemExit):
        collector.deliver(segment)
    plan, done = read_plan(segment.file.plan_path)
    assert done == 0 < inserts + 1 <= len(plan.blocks)  # marks wait until the engine is looked at
    killed(10**9)
    collector.deliver(segment, Policy())
    found = collector.rows()
    decisions = Decisions.from_bytes(plan.sampling)
    name = segment.file.id
    by_plan = Sampling(Policy(), 1, decisions.states, name, decisions.parts[name])
    chosen = rows_of(process_sampled(segment.contents[0], (), Rules(), by_plan).blocks)
    spans = [(row["SpanId"].decode(), row["TraceState"].decode()) for row in chosen["otel_traces"]]
    assert found["otel_traces"] == sorted(spans)
    assert len(spans) == len(set(spans)) < 1500
    assert [row[0] for row in found["otel_logs"]] == sorted(
        row["Body"].decode() for row in chosen["otel_logs"]
    )
    assert len(found["events"]) == len(chosen["events"]) < 1500
    ((received, stored, out, rejected),) = found["ledger"]
    assert (received, rejected) == (1800 + 600 + 900, 0)
    assert stored + out == received
    assert stored == len(found["otel_traces"]) + len(found["otel_logs"])
    assert found["calls"] == [(2700 + sum(row["Kind"] == b"event" for row in all_events(segment)),)]


def all_events(segment):
    return rows_of(process(segment.contents[0]))["events"]


@pytest.mark.parametrize("count", [1, 3])
def test_a_repeat_changes_nothing(collector, killed, monkeypatch, count):
    """Killed half-way, and delivered again by another policy, in one portion or several, every row stays as it was."""
    segment = collector.segment(traffic())
    size = sum(len(one.body) for one in segment.contents[0])
    monkeypatch.setattr(portion, "PORTION_BYTES", size // count + 1)
    killed(3)
    with pytest.raises(SystemExit):
        collector.deliver(segment)
    plan, done = read_plan(segment.file.plan_path)
    assert done == 0  # marks wait until the engine is looked at
    decisions = Decisions.from_bytes(plan.sampling)
    assert len(decisions.parts) == len(portion.portions(segment.contents[0]))
    assert (len(decisions.parts) > 1) == (count > 1)
    killed(10**9)
    collector.deliver(segment, Policy())
    before = collector.rows()
    for _ in range(2):
        collector.deliver(segment, Policy())
        assert collector.rows() == before
    assert len(before["otel_traces"]) < 1500


def test_states_outlive_kill_and_release(collector):
    """A restart goes on from the last plan while there is one, and from the file once that is released."""
    first, second = (collector.segment(traffic(seed)) for seed in (1, 2))
    sampler = collector.sampler()
    collector.deliver(first, sampler=sampler)
    collector.deliver(second, sampler=sampler)
    after = sampler.states
    assert after.sequence == 2
    # Killed here: the file is of before, the plans are there.
    again = collector.sampler()
    assert again.states.sequence == 0
    for segment in (first, second):
        collector.deliver(segment, sampler=again)
    assert again.states.to_bytes() == after.to_bytes()
    # Released: the file is written, then segments and plans go.
    again.persist()
    for segment in (first, second):
        segment.file.plan_path.unlink()
    third = collector.sampler()
    assert third.states.to_bytes() == after.to_bytes()
    assert third.states.collector == sampler.states.collector


def test_a_restart_does_not_forget_the_minute(collector):
    """What arrived in the minute before a kill still counts after it: nobody gets a fresh budget by crashing."""
    rng = np.random.default_rng(3)
    much = collector.segment([trace_request(rng, 1500)])
    assert collector.deliver(much).sampled_out[Signal.TRACES] > 3000
    sampler = collector.sampler()  # that of a process that finds the segment left
    collector.deliver(much, sampler=sampler)
    few = collector.segment([trace_request(rng, 60, start_ns=NOW + SECOND)])
    assert collector.deliver(few, sampler=sampler).sampled_out[Signal.TRACES] > 90


def test_a_state_that_cannot_be_read_begins_anew(collector, caplog):
    """A damaged file is reported, and costs a minute's memory, not the start."""
    collector.sampler()
    (collector.directory / FILE).write_bytes(b"damaged")
    assert collector.sampler().states.sequence == 0
    assert "sampling begins anew" in caplog.text
    (collector.directory / FILE).write_bytes(b"\xff" * 100)
    assert collector.sampler().states.sequence == 0


def test_halves_are_sampled_by_themselves_and_repeat(collector, monkeypatch, killed):
    """A request at fault is put aside; the others are sampled part by part, and a repeat keeps the same of each."""
    rng = np.random.default_rng(4)
    requests = [trace_request(rng, 300, start_ns=NOW + i) for i in range(4)]

    def processing(some, *how):
        if requests[2] in some:
            raise IndexError("a defect")
        return process_sampled(some, *how)

    monkeypatch.setattr(delivery, "process_sampled", processing)
    segment = collector.segment(requests)
    killed(4)
    with pytest.raises(SystemExit):
        collector.deliver(segment)
    plan, _ = read_plan(segment.file.plan_path)
    decisions = Decisions.from_bytes(plan.sampling)
    name = segment.file.id
    assert set(decisions.parts) == {f"{name}a", f"{name}ba", f"{name}bb"}
    assert decisions.states.sequence == 3
    killed(10**9)
    collector.deliver(segment, Policy())
    found = collector.rows()
    ((received, stored, out, rejected),) = found["ledger"]
    assert (received, rejected) == (3600, 900)
    assert stored + out == 2700
    assert stored == len(found["otel_traces"]) < 2000
    assert found["calls"] == [(2700,)]
    assert {signal: kept for signal, _, kept in found["history"]}["traces"] == stored


def test_a_damaged_record_makes_the_rest_be_chosen_anew(collector, killed, caplog):
    """Of a segment whose records were damaged between plan and repeat, what is left is stored, weighted and counted."""
    requests = traffic()
    segment = collector.segment(requests)
    killed(0)
    with pytest.raises(SystemExit):
        collector.deliver(segment)
    killed(10**9)
    damaged = replace(segment, contents=(requests[1:], []))
    collector.deliver(damaged)
    assert "is sampled anew" in caplog.text
    found = collector.rows()
    ((received, stored, out, _),) = found["ledger"]
    assert (received, stored + out) == (600 + 900, 600 + 900)
    assert stored == len(found["otel_traces"]) + len(found["otel_logs"])


def test_a_plan_of_before_there_was_sampling_is_finished_as_it_began(collector, store, killed):
    """Everything is kept of a segment whose plan chose nothing, though the collector samples by now."""
    segment = collector.segment(traffic())
    killed(2)
    with pytest.raises(SystemExit):
        Delivery(store, collector.quarantine, None, retry_s=0.001).deliver(segment)
    killed(10**9)
    collector.deliver(segment)
    assert collector.rows()["ledger"] == [(3300, 3300, 0, 0)]


def test_budgets_of_the_store_win_over_the_settings(collector, store):
    """What was set for all collectors is read before the first segment, and again; without it the settings hold."""
    clock = [0.0]
    sampler = Sampler(
        collector.directory, BUSY, new_id=lambda: os.urandom(16).hex(), monotonic_s=lambda: clock[0]
    )
    now = np.datetime64(NOW, "ns").astype("datetime64[us]").item()
    body = {"traces": {"low": 1e6, "high": 1e6}, "events": {"rows": 1e6}}
    save(store, "sampling", "budgets", body, by="test", now=now)
    rng = np.random.default_rng(5)
    one = collector.segment([trace_request(rng, 900)])
    assert not collector.deliver(one, sampler=sampler).sampled_out
    delete(store, "sampling", "budgets", by="test", now=now)
    two = collector.segment([trace_request(rng, 900)])
    assert not collector.deliver(two, sampler=sampler).sampled_out, "it is not time to look again"
    clock[0] += REFRESH_S
    three = collector.segment([trace_request(rng, 900)])
    assert collector.deliver(three, sampler=sampler).sampled_out[Signal.TRACES] > 2000
    save(store, "sampling", "budgets", {"traces": {"low": -1}}, by="test", now=now)
    clock[0] += REFRESH_S
    sampler.refresh(store)
    assert sampler.policy == BUSY, "what cannot be is not taken over"


class Remote:
    """A store that several collectors share: the test's own, not called embedded."""

    embedded = False

    def __init__(self, store):
        self.database = store.database
        self.client = store.client


def test_collectors_of_one_store_divide_the_budgets(store, tmp_path):
    """Two that are alive take half each; one whose rows are old by the store's clock does not count."""
    clock = [0.0]

    def sampler(name):
        (tmp_path / name).mkdir()
        return Sampler(
            tmp_path / name, BUSY, new_id=lambda: os.urandom(16).hex(), monotonic_s=lambda: clock[0]
        )

    one, other = sampler("one"), sampler("other")
    remote = Remote(store)
    for each in (one, other):
        collector = Collector(remote, each._path.parent)
        collector.deliver(collector.segment(traffic()), sampler=each)
    assert one.collectors == 1, "when it looked it was alone"
    clock[0] += REFRESH_S
    one.refresh(remote)
    assert (one.collectors, other.collectors) == (2, 2)
    divided = one.sampling("x", one.states).policy
    assert (divided.traces.low, divided.logs.high, divided.event_rows) == (150, 1500, 250)
    store.client().command(
        f"ALTER TABLE sampling_history UPDATE WrittenAt = now('UTC') - {ALIVE_S + 1} WHERE 1"
        " SETTINGS mutations_sync = 1"
    )
    clock[0] += REFRESH_S
    one.refresh(remote)
    assert one.collectors == 1
