"""Kinds of sessions: k-means over what they do, not only how long and how often (REQ-WFL-05, PIT-R0-04)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headgate.queries.reports.workflows.records import Cluster

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headgate.queries.reports.workflows.sequences import Sequences

    Floats = NDArray[np.float64]

LEAST_SESSIONS = 50
MOST_SESSIONS = 5_000
MOST_STEPS = 10
LEAST_GAIN = 0.02
ALIKE = 1.1
"""Kinds whose mean uses differ by less than this factor are not told apart by how much they use."""
_NAMES = {
    1: ("regular",),
    2: ("casual", "power"),
    3: ("casual", "regular", "power"),
    4: ("casual", "occasional", "regular", "power"),
    5: ("casual", "occasional", "regular", "frequent", "power"),
}
_SEED = 20_061  # any number: it only has to be the same each time


def clusters(found: Sequences) -> tuple[tuple[Cluster, ...], float | None]:
    """Return two to five clusters of sessions and their mean silhouette; none for fewer than LEAST_SESSIONS.

    Each session is described by its uses and length (logarithms), its share of failures, different steps and repeats,
    and by how its uses divide over the most used steps. The number is that of the best silhouette (to centres), a
    larger one only if it is better by LEAST_GAIN. Of more than MOST_SESSIONS the first are taken, in the order of
    their hashed ids.
    """
    names, features, plain = _features(found)
    if features.shape[0] < LEAST_SESSIONS:
        return (), None
    spread = features.std(axis=0)
    kept = spread > 1e-9
    if not kept.any():
        return (), None
    scaled = (features[:, kept] - features[:, kept].mean(axis=0)) / spread[kept]
    # The mix of steps is one trait, however many steps there are: its columns share one weight.
    mix = np.array([name.startswith("step ") for name in names])[kept]
    scaled[:, mix] /= np.sqrt(max(mix.sum(), 1))
    best, quality, member = 0, -1.0, np.zeros(len(scaled), int)
    for k in range(2, len(_NAMES) + 1):
        if k > np.unique(scaled, axis=0).shape[0] - 1:
            break
        labels, score = _kmeans(scaled, k)
        if score > quality + (LEAST_GAIN if best else 0):
            best, quality, member = k, score, labels
    if not best:
        return (), None
    uses = np.array([plain["uses"][member == i].mean() for i in range(best)])
    order = np.argsort(uses, kind="stable")
    level = np.cumsum(np.r_[0, uses[order][1:] > uses[order][:-1] * ALIKE])
    named = _NAMES[int(level[-1]) + 1]
    titles = [name for name, there in zip(names, kept, strict=True) if there]
    made = tuple(
        _cluster(
            named[level[rank]],
            member == i,
            plain,
            scaled,
            titles,
            alone=np.count_nonzero(level == level[rank]) == 1,
        )
        for rank, i in enumerate(order)
    )
    return made, round(quality, 3)


def _features(found: Sequences) -> tuple[list[str], Floats, dict[str, Floats]]:
    first = found.first[: MOST_SESSIONS + 1]
    n = first.size - 1
    if n < 1:
        return [], np.empty((0, 0)), {}
    end = first[-1]
    step, session = found.step[:end], found.session[:end]
    uses = np.diff(first).astype(float)
    length = np.maximum.reduceat(found.end_ns[:end], first[:-1]) - found.time_ns[first[:-1]]
    failed = np.bincount(session, ~found.well[:end], n) / uses
    inner = np.r_[False, session[1:] == session[:-1]]
    repeats = np.bincount(session, inner & np.r_[False, step[1:] == step[:-1]], n) / uses
    kinds = len(found.labels)
    distinct = np.bincount(np.unique(session * kinds + step) // kinds, minlength=n).astype(float)
    top = np.argsort(-np.bincount(step, minlength=kinds), kind="stable")[:MOST_STEPS]
    shares = [np.bincount(session, step == kind, n) / uses for kind in top]
    names = ["uses", "duration", "failures", "different steps", "repeats"]
    names += [f"step {found.labels[kind]}" for kind in top]
    columns = [np.log1p(uses), np.log1p(length / 1e6), failed, np.log1p(distinct), repeats, *shares]
    plain = {
        "uses": uses,
        "ms": length / 1e6,
        "failed": failed,
        "distinct": distinct,
        "repeats": repeats,
    }
    return names, np.column_stack(columns), plain


def _kmeans(points: Floats, k: int) -> tuple[NDArray[np.int64], float]:
    """Return the members of k clusters and the mean silhouette, by distances to centres (Hruschka et al. 2004)."""
    from scipy.cluster.vq import kmeans2
    from scipy.spatial.distance import cdist

    centres, member = kmeans2(points, k, minit="++", rng=np.random.default_rng(_SEED), iter=30)
    if np.unique(member).size < k:
        return member, -1.0
    distance = cdist(points, centres)
    own = distance[np.arange(len(points)), member]
    distance[np.arange(len(points)), member] = np.inf
    nearest = distance.min(axis=1)
    widest = np.maximum(own, nearest)
    return member, float(
        np.mean(np.divide(nearest - own, widest, out=np.zeros_like(own), where=widest > 0))
    )


def _cluster(
    name: str,
    inside: NDArray[np.bool_],
    plain: dict[str, Floats],
    scaled: Floats,
    titles: list[str],
    *,
    alone: bool,
) -> Cluster:
    """Describe one kind; one that is not `alone` in how much it uses is named by what marks it, too."""
    means = {trait: float(values[inside].mean()) for trait, values in plain.items()}
    apart = scaled[inside].mean(axis=0)
    marks = sorted(range(len(titles)), key=lambda i: (-abs(apart[i]), titles[i]))[:3]
    marked_by = tuple(
        f"{'more' if apart[i] > 0 else 'less'} {titles[i].removeprefix('step ')}" for i in marks
    )
    return Cluster(
        name=name if alone else f"{name}, {marked_by[0]}",
        sessions=int(inside.sum()),
        share=round(float(inside.mean()), 4),
        mean_uses=round(means["uses"], 2),
        mean_duration_ms=round(means["ms"], 3),
        success_rate=round(1 - means["failed"], 4),
        distinct_steps=round(means["distinct"], 2),
        repeat_rate=round(means["repeats"], 4),
        marked_by=marked_by,
    )
