"""Uses in the order of time, cut into sessions; what follows what. All by arrays: no loop over uses (PIT-R2-01)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from headgate.queries.columns import Columns

    Ints = NDArray[np.int64]
    Numbers = NDArray[np.int32 | np.int64]

_DENSE = 1 << 24
_BITS = 32


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
    """Order uses by session, time and, at the same instant, by name; cut users without session ids at gaps.

    A use that came in between two statements, so that its step has no name yet, is left out.
    """
    labels, known, number = _labels(steps)
    key = uses["step"].astype(np.uint64)
    place = np.searchsorted(
        known[:-1], key
    )  # larger ones get the last place: always one that exists
    has_name = known[place] == key if known.size else np.zeros(key.size, bool)
    if not has_name.all():
        uses, place = uses.chosen(has_name), place[has_name]
    if not uses.rows:
        none = np.empty(0, np.int64)
        return Sequences(none, none, none, none, np.empty(0, bool), labels, 1, True)
    step = number[place]
    actor, named = uses["session"].astype(np.uint64), uses["named"].astype(bool)
    time_ns, duration = uses["time_ns"].astype(np.int64), uses["duration_ns"].astype(np.int64)
    well = uses["well"].astype(bool)
    actor, named, time_ns, step, well, duration = ordered(
        actor, named, time_ns, step, well, duration
    )
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


def ordered(*keys: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return rows in the order of keys: the first, an actor, is the most important, the third is the time.

    The leading bits of both, packed into one number, put almost all rows in order, and one sort of numbers is several
    times cheaper than sorting by each key. Runs of actors in which that leaves disorder are sorted again, by all keys.
    """
    if not _disorder(keys).any():
        return keys
    leading = _leading(keys[0])
    order = np.argsort(leading << np.uint64(_BITS) | _leading(keys[2]))
    keys, leading = tuple(key[order] for key in keys), leading[order]
    wrong = _disorder(keys)
    if wrong.any():
        run = np.cumsum(np.r_[False, leading[1:] != leading[:-1]])
        bad = np.zeros(run[-1] + 1, bool)
        bad[run[1:][wrong]] = True
        rows = np.flatnonzero(bad[run])
        again = rows[np.lexsort([key[rows] for key in reversed(keys)])]
        for key in keys:
            key[rows] = key[again]
    return keys


def _disorder(keys: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    """Return whether each row but the first should come before the one that it follows."""
    settled = np.zeros(keys[0].size - 1, bool)
    wrong = np.zeros(keys[0].size - 1, bool)
    for key in keys:
        wrong |= ~settled & (key[1:] < key[:-1])
        settled |= key[1:] != key[:-1]
        if settled.all():
            break
    return wrong


def _leading(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the leading bits of integers, counted from the highest bit in which they differ from the least."""
    least = values.min()
    unused = (int(values.max()) - int(least)).bit_length() - _BITS
    above: NDArray[np.uint64] = (values - least).astype(np.uint64)
    return above >> np.uint64(max(unused, 0))


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of one length that occur often enough.

    `which` is the number of the pattern that begins at each use, `len(paths)` where none does; pattern i is `paths[i]`
    (numbers of steps) and occurs `counts[i]` times; `follower[i]` follows it most often, `followed[i]` times (0:
    nothing often enough).
    """

    which: Numbers
    paths: Ints
    counts: Ints
    follower: Ints
    followed: Ints


def patterns(found: Sequences, shortest: int, longest: int, minimum: int) -> list[Patterns]:
    """Count the patterns of each length from `shortest` to `longest`.

    A pattern can only be frequent if its beginning is (Agrawal and Srikant 1994), so each length extends only what the
    one before it found. Uses stay where they are: shifted slices cost less than picking the places that are left.
    """
    kinds = len(found.labels)
    which: Numbers = found.step
    paths = np.arange(kinds)[:, None]
    counts = np.bincount(found.step, minlength=kinds)
    levels: list[Patterns] = []
    for length in range(1, longest + 1):
        step, begin = found.step[length:], which[: max(found.step.size - length, 0)]
        none = len(paths) * kinds
        key = np.multiply(begin, kinds, dtype=np.int64)
        key += step
        key[found.session[length:] != found.session[: step.size]] = none
        often, times, numbers = frequent(np.minimum(key, none, out=key), none, minimum)
        prefix, last = np.divmod(often, max(kinds, 1))
        if length >= shortest:
            order = np.lexsort((-last, times))
            follower, followed = np.zeros((2, len(paths)), np.int64)
            follower[prefix[order]], followed[prefix[order]] = last[order], times[order]
            levels.append(Patterns(which, paths, counts, follower, followed))
        if length < longest:
            which, counts = numbers(), times
            paths = np.column_stack([paths[prefix], last])
    return levels


def frequent(key: Ints, none: int, minimum: int) -> tuple[Ints, Ints, Callable[[], Numbers]]:
    """Return the keys below `none` that occur often enough, ascending, and how often.

    The third is called for the number that each place's key has among them, their number where it has none.
    """
    names = None
    if none > max(_DENSE, 4 * key.size):
        names, key, counts = np.unique(key, return_inverse=True, return_counts=True)
        counts[names == none] = 0
    else:
        counts = np.bincount(key, minlength=none + 1)
        counts[none] = 0
    often = np.flatnonzero(counts >= minimum)

    def numbers() -> Numbers:
        table = np.full(counts.size, often.size, np.int32)
        table[often] = np.arange(often.size)
        return table[key]

    return often if names is None else names[often], counts[often], numbers


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
    step, first, size = place[found.step], found.first, edge + 1
    inner = found.session[1:] == found.session[:-1]
    cell = (step[:-1] * size + step[1:])[inner]
    counts = np.bincount(cell, minlength=size**2).reshape(size, size).astype(float)
    counts[edge] += np.bincount(step[first[:-1]], minlength=size)
    counts[:, edge] += np.bincount(step[first[1:] - 1], minlength=size)
    gaps = np.bincount(cell, np.diff(found.time_ns)[inner], size**2)
    times = gaps.astype(float).reshape(size, size)
    return [*(found.labels[i] for i in top), "(other)", "(edge)"], counts, times
