"""Uses in the order of time, cut into sessions; what follows what. All by arrays: no loop over uses (PIT-R2-01)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headgate.queries.columns import Columns

    Ints = NDArray[np.int64]

_DENSE = 1 << 24


@dataclass(frozen=True, slots=True)
class Sequences:
    """Uses sorted by session and time, each column of length n.

    `step` and `session` are dense numbers from 0; `labels` are the names of steps; one session in `one_in` was read;
    `whole` says that no use of those was lost to sampling.
    """

    step: Ints
    session: Ints
    time_ns: Ints
    end_ns: Ints
    well: NDArray[np.bool_]
    labels: tuple[str, ...]
    one_in: int
    whole: bool

    @property
    def first(self) -> Ints:
        """The place of the first use of each session, and the number of uses: int64 [sessions + 1]."""
        starts: Ints = np.flatnonzero(np.diff(self.session, prepend=-1))
        return np.append(starts, self.session.size)


def arrange(uses: Columns, steps: Columns, gap_ns: int, *, merge_repeats: bool) -> Sequences:
    """Order uses by session, time and, at the same instant, by name; cut users without session ids at gaps."""
    labels, known, number = _labels(steps)
    if not uses.rows:
        none = np.empty(0, np.int64)
        return Sequences(none, none, none, none, np.empty(0, bool), labels, 1, True)
    step = number[np.searchsorted(known, uses["step"].astype(np.uint64))]
    actor, named = uses["session"].astype(np.uint64), uses["named"].astype(bool)
    time_ns, duration = uses["time_ns"].astype(np.int64), uses["duration_ns"].astype(np.int64)
    well = uses["well"].astype(bool)
    order = _order(actor, named, time_ns, step, well, duration)
    if order is not None:
        step, actor, named, time_ns = step[order], actor[order], named[order], time_ns[order]
        well, duration = well[order], duration[order]
    same = (actor[1:] == actor[:-1]) & (named[1:] == named[:-1])
    idle = ~named[1:] & (time_ns[1:] - time_ns[:-1] > gap_ns)
    session = np.cumsum(np.r_[False, ~same | idle])
    end_ns = time_ns + duration
    if merge_repeats:
        kept = np.r_[True, (step[1:] != step[:-1]) | (session[1:] != session[:-1])]
        group = np.flatnonzero(kept)
        end_ns = np.maximum.reduceat(end_ns, group)
        well = np.logical_and.reduceat(well, group)
        step, session, time_ns = step[kept], session[kept], time_ns[kept]
    return Sequences(
        step,
        session,
        time_ns,
        end_ns,
        well,
        labels,
        int(uses["one_in"].max()),
        bool((uses["weight"] == 1).all()),
    )


def _labels(steps: Columns) -> tuple[tuple[str, ...], NDArray[np.uint64], Ints]:
    """Return the names of steps in order, their keys in order, and the number of each key's name."""
    pairs = sorted(
        set(
            zip(
                steps["operation"].tolist(),
                steps["service"].tolist(),
                steps["step"].tolist(),
                strict=True,
            )
        )
    )
    operations = [operation for operation, _, _ in pairs]
    labels = tuple(
        operation if operations.count(operation) == 1 else f"{service} {operation}"
        for operation, service, _ in pairs
    )
    keys = np.array([key for _, _, key in pairs], np.uint64)
    order = np.argsort(keys)
    return labels, keys[order], order.astype(np.int64)


def _order(*keys: NDArray[Any]) -> Ints | None:
    """Return the order by keys, the first being the most important; None where rows are in order already.

    Three keys settle almost all rows: the others only sort those that are equal in them.
    """
    settled = np.zeros(keys[0].size - 1, bool)
    wrong = np.zeros(keys[0].size - 1, bool)
    for key in keys:
        wrong |= ~settled & (key[1:] < key[:-1])
        settled |= key[1:] != key[:-1]
        if settled.all():
            break
    if not wrong.any():
        return None
    first = keys[:3]
    order = np.lexsort(first[::-1])
    equal = np.logical_and.reduce([key[order[1:]] == key[order[:-1]] for key in first])
    tied = np.flatnonzero(np.r_[False, equal] | np.r_[equal, False])
    if tied.size:
        rows = order[tied]
        order[tied] = rows[np.lexsort([key[rows] for key in reversed(keys)])]
    return order


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of one length that occur often enough.

    `starts` are the places where occurrences begin and `which` the number of the pattern there; pattern i is
    `paths[i]` (numbers of steps) and occurs `counts[i]` times; `follower[i]` follows it most often, `followed[i]`
    times (0: nothing often enough).
    """

    starts: Ints
    which: Ints
    paths: Ints
    counts: Ints
    follower: Ints
    followed: Ints


def patterns(found: Sequences, shortest: int, longest: int, minimum: int) -> list[Patterns]:
    """Count the patterns of each length from `shortest` to `longest`.

    A pattern can only be frequent if its beginning is (Agrawal and Srikant 1994), so each length looks only where the
    one before it was.
    """
    kinds = len(found.labels)
    places = np.arange(found.step.size)
    which, paths = found.step, np.arange(kinds)[:, None]
    counts = np.bincount(found.step, minlength=kinds)
    levels: list[Patterns] = []
    for length in range(1, longest + 2):
        follower, followed = np.zeros(len(paths), np.int64), np.zeros(len(paths), np.int64)
        if shortest <= length <= longest:
            levels.append(Patterns(places, which, paths, counts, follower, followed))
        inside = places + length < found.step.size
        inside[inside] = found.session[places[inside]] == found.session[places[inside] + length]
        places, which = places[inside], which[inside]
        key = which * kinds + found.step[places + length]
        distinct, number, n = _counted(key, len(paths) * kinds)
        often = n >= minimum
        prefix, last = np.divmod(distinct[often], max(kinds, 1))
        if shortest <= length <= longest:
            order = np.lexsort((-last, n[often]))
            follower[prefix[order]] = last[order]
            followed[prefix[order]] = n[often][order]
        dense = np.cumsum(often) - 1
        kept = often[number]
        places, which = places[kept], dense[number[kept]]
        paths, counts = np.column_stack([paths[prefix], last]), n[often]
    return levels


def _counted(key: Ints, bound: int) -> tuple[Ints, Ints, Ints]:
    """Return the distinct keys in order, the number of each key among them, and how often each occurs."""
    if bound > max(_DENSE, 4 * key.size):
        return np.unique(key, return_inverse=True, return_counts=True)
    counts = np.bincount(key, minlength=1)
    distinct = np.flatnonzero(counts)
    number = np.empty(counts.size, np.int64)
    number[distinct] = np.arange(distinct.size)
    return distinct, number[key], counts[distinct]


def matrix(
    found: Sequences, most: int
) -> tuple[Sequence[str], NDArray[np.float64], NDArray[np.float64]]:
    """Return how often each step follows each, and the time (ns) between them in all.

    The labels are the `most` used steps, `(other)`, and last `(start)` as a source or `(end)` as a target.
    """
    uses = np.bincount(found.step, minlength=len(found.labels))
    top = np.sort(np.lexsort((np.arange(uses.size), -uses))[:most])
    other, edge = top.size, top.size + 1
    place = np.full(len(found.labels), other)
    place[top] = np.arange(top.size)
    step = place[found.step]
    inner = found.session[1:] == found.session[:-1]
    first = found.first
    source = np.r_[step[:-1][inner], np.full(first.size - 1, edge), step[first[1:] - 1]]
    target = np.r_[step[1:][inner], step[first[:-1]], np.full(first.size - 1, edge)]
    gaps = np.r_[np.diff(found.time_ns)[inner], np.zeros(2 * (first.size - 1), np.int64)]
    cell = source * (edge + 1) + target
    shape = (edge + 1, edge + 1)
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    times = np.bincount(cell, gaps, shape[0] * shape[1]).astype(float).reshape(shape)
    return [*(found.labels[i] for i in top), "(other)", "(edge)"], counts, times
