"""Thin the rows of `events` by person, so that distinct counts, funnels and retention stay estimable.

A row is kept iff the low 56 bits of its person's hash are at least T: the rule of traces, with the hash as R. The
person is the user, else the session, else the trace, else the row's time; `events.Person` is the same in SQL. A trace's
id is mixed first: what upstream has let pass by the id itself would be no fair draw here. Whoever is kept at a high
threshold is kept at every lower one, so a window of changing thresholds can be thinned to its largest: an exact
Bernoulli sample of people, whose rows count (and weigh) 2^56 / (2^56 - T). T depends on how many rows arrived, never on
whose they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headgate.collector.kernel import kernel
from headgate.collector.sampler.hashing import mix64
from headgate.collector.sampler.thresholds import threshold_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.collector.sampler.window import Window

SALT = np.uint64(0x4CF2D2BAAE6DA887)  # of ClickHouse's intHash64
MASK56 = np.uint64((1 << 56) - 1)
STEPS = 8  # to an octave: thresholds change rarely, and keep at least 92 % of the budget


@kernel
def _mix_each(value: NDArray[np.uint64], out: NDArray[np.uint64]) -> None:
    for i in range(value.size):
        out[i] = mix64(value[i] ^ SALT)


def mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return what ClickHouse calls intHash64 of each number."""
    out = np.empty(value.size, np.uint64)
    _mix_each(value, out)
    return out


def person(
    user: NDArray[np.uint64],
    session: NDArray[np.uint64],
    traced: NDArray[np.bool_],
    trace_lo: NDArray[np.uint64],
    time_ns: NDArray[np.int64],
) -> NDArray[np.uint64]:
    """Return whose each row is: the hash of the user, of the session (0: none), of the trace, of the time."""
    known = np.where(user != 0, user, session)
    return np.where(known != 0, known, mixed(np.where(traced, trace_lo, time_ns.view(np.uint64))))


def events_threshold(rows: float, budget: float) -> int:
    """Return T for this many rows in the last 60 seconds and a budget of rows a minute, rounded to keep fewer."""
    if not budget > 0:
        raise ValueError(f"the budget of events must be above 0 rows a minute, not {budget}")
    if rows <= budget:
        return 0
    step = math.floor(STEPS * math.log2(budget / rows))
    return int(threshold_of(np.array([2.0 ** (step / STEPS)]))[0])


def persons_kept(person: NDArray[np.uint64], threshold: int) -> NDArray[np.bool_]:
    """Return which rows a threshold keeps."""
    kept: NDArray[np.bool_] = (person & MASK56).astype(np.int64) >= threshold
    return kept


@dataclass(frozen=True, slots=True)
class Thinned:
    """The event rows of one segment that are kept, the threshold to record with them, the window for the next.

    `rows` is what the last 60 seconds counted.
    """

    kept: NDArray[np.bool_]
    threshold: int
    rows: float
    window: Window


def thin_events(
    person: NDArray[np.uint64], arrival_ns: NDArray[np.int64], budget: float, window: Window
) -> Thinned:
    """Thin a segment's event rows to a budget of rows a minute."""
    every = np.ones(arrival_ns.size, bool)
    observed = window.observe(arrival_ns, every, every)
    threshold = events_threshold(observed.rows, budget)
    return Thinned(persons_kept(person, threshold), threshold, observed.rows, observed.window)
