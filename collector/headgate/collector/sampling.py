"""The sampler of one collector: its policy, which may change at any time, its states, how many collectors there are.

Where the states live: in the plan of every segment that is still in the journal, each as they were after it, and in
`sampler.state` beside the segments, written before segments are released. Of all that a start finds, those with the
highest sequence number are the last, so that neither kill -9 nor a release in between loses a window.

Several collectors on one store divide the budgets evenly. A collector counts as alive when `sampling_history` took a
row of its within ALIVE_S, by the clock of the store. Each looks every REFRESH_S: after one more has begun, all together
keep at most (n + 1) / n of the budget for that long; after one has ended, its share is free for ALIVE_S + REFRESH_S.

The policy is that of the settings, with the budgets of the store's document `sampling`/`budgets` in their place, if
there is one: what was set for all collectors wins over what each was started with.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from headgate.collector.policy import DOCUMENT
from headgate.collector.quarantine import sync_directory
from headgate.collector.sample import Sampling
from headgate.collector.states import States
from headgate.store import StoreError
from headgate.store.document import document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from headgate.collector.policy import Policy
    from headgate.store import Store

log = logging.getLogger(__name__)
FILE = "sampler.state"
ALIVE_S = 60
REFRESH_S = 10.0
_OTHERS = (
    "SELECT uniqExact(Collector) FROM sampling_history"
    " WHERE WrittenAt > now('UTC') - {alive:UInt32} AND Collector != {own:String}"
)


class Sampler:
    """Chooses by a policy; `states` move on segment by segment. One thread samples, any thread sets the policy."""

    def __init__(
        self,
        directory: Path,
        policy: Policy,
        *,
        new_id: Callable[[], str],
        monotonic_s: Callable[[], float],
    ) -> None:
        """Take up the states in `directory`, or begin; raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / FILE
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._configured = policy
        self._overrides: Mapping[str, Any] = {}
        self._policy = policy
        self._collectors = 1
        self._refreshed_s = float("-inf")
        self._persisted = -1
        self._states = self._load(new_id)
        self.persist()

    @property
    def policy(self) -> Policy:
        """The policy in force, undivided."""
        return self._policy

    @property
    def collectors(self) -> int:
        """How many collectors divide the budgets, this one included."""
        return self._collectors

    @property
    def states(self) -> States:
        """The states after the last segment that was planned."""
        return self._states

    @property
    def probabilities(self) -> dict[str, float]:
        """What the laws make of the last minute, as of the last segment."""
        policy, states = self._policy.share(self._collectors), self._states
        laws = {"traces": (policy.traces, states.traces), "logs": (policy.logs, states.logs)}
        return {
            signal: min(law.probability(requests), law.rows_probability(rows))
            for signal, (law, state) in laws.items()
            for requests, rows in [state.window.sums[:, :2].sum(axis=0)]
        }

    @property
    def configured(self) -> Policy:
        """The policy of the settings."""
        return self._configured

    @property
    def overrides(self) -> Mapping[str, Any]:
        """The budgets that were set in place of the settings', by signal and name."""
        return self._overrides

    def configure(self, policy: Policy) -> None:
        """Take other settings, from the next segment on."""
        with self._lock:
            self._policy = policy.overridden(self._overrides)
            self._configured = policy

    def override(self, changes: Mapping[str, Any]) -> None:
        """Set budgets in place of the settings', from the next segment on; raises ValueError."""
        with self._lock:
            self._policy = self._configured.overridden(changes)
            self._overrides = changes

    def sampling(self, name: str, states: States) -> Sampling:
        """Return how to sample the part of a segment called `name`."""
        with self._lock:
            policy, collectors = self._policy, self._collectors
        return Sampling(policy.share(collectors), collectors, states, name)

    def advance(self, states: States) -> None:
        """Go on from the states after a segment whose plan is durable; a repeat of an older one changes nothing."""
        if states.sequence > self._states.sequence:
            self._states = states

    def refresh(self, store: Store, *, at_once: bool = False) -> None:
        """Look what was set and how many collectors there are, when it is time.

        What cannot be read leaves all as it is.
        """
        now_s = self._monotonic_s()
        if not at_once and now_s - self._refreshed_s < REFRESH_S:
            return
        self._refreshed_s = now_s
        try:
            saved = document(store, *DOCUMENT)
            self.override({} if saved is None else saved.body)
            others = 0 if store.embedded else self._others(store)
        except (ClickHouseError, StoreError, OSError, ValueError) as error:
            log.warning("sampling goes on as before: %s", error)
            return
        with self._lock:
            before, self._collectors = self._collectors, 1 + others
        if before != 1 + others:
            log.info("the budgets are divided between %d collectors", 1 + others)

    def _others(self, store: Store) -> int:
        parameters = {"alive": ALIVE_S, "own": self._states.collector}
        ((others,),) = store.client().query(_OTHERS, parameters=parameters).result_rows
        return int(others)

    def persist(self) -> None:
        """Write the states durably, when they have changed. Raises OSError."""
        states = self._states
        if states.sequence == self._persisted:
            return
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(states.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        sync_directory(self._path.parent)
        self._persisted = states.sequence

    def _load(self, new_id: Callable[[], str]) -> States:
        try:
            states = States.from_bytes(self._path.read_bytes())
        except FileNotFoundError:
            return States.new(new_id)
        except ValueError as error:
            log.warning("%s cannot be read (%s): sampling begins anew", self._path, error)
            return States.new(new_id)
        self._persisted = states.sequence
        return states
